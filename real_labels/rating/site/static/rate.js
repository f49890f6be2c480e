"use strict";
// The rating page: one task at a time, the next one's image loaded ahead, drafts kept in this browser.

const categories = JSON.parse($("rating").dataset.categories);
const letters = categories.map((name) => name[0].toLowerCase());
const haveLetters = new Set(letters).size === letters.length;
let waiting = []; // tasks in hands, the current one first
let current = null; // the task that is shown
let isRevision = false;
let isChecked = false; // whether a warm-up task shows the truth
let isSending = false;
let place = 0; // of the label that the keys are for
let shownAt = 0;
let lookingAgain = 0; // timer, while there is nothing to do
const LOOK_AGAIN = 30000; // milliseconds

// Drafts: answers not yet saved, by assignment; they survive a reload, a lost connection and a login that ran out.

const key = (task) => `draft:${$("rating").dataset.project}:${task.assignment}`;

function draftOf(task) {
  try {
    return JSON.parse(localStorage.getItem(key(task))) || {};
  } catch {
    return {};
  }
}

function keep(task, draft) {
  try {
    localStorage.setItem(key(task), JSON.stringify(draft));
  } catch { /* a full or forbidden store: the page works without drafts */ }
}

function forget(task) {
  localStorage.removeItem(key(task));
}

// Showing a task.

function asked(task) {
  return task.questions.filter((question) => question.is_asked);
}

function row(question, number, draft) {
  const part = $("label-row").content.cloneNode(true);
  const field = part.querySelector("fieldset");
  field.dataset.question = question.id;
  field.querySelector(".number").textContent = question.is_asked ? `${number}.` : "–";
  field.querySelector(".name").textContent = question.name;
  field.querySelector(".description").textContent = question.description;
  const examples = field.querySelector(".examples");
  for (let i = 0; i < question.examples; i += 1) {
    const image = document.createElement("img");
    image.src = `example/${question.label}/${i}`;
    image.alt = `Example of ${question.name}`;
    image.loading = "lazy";
    examples.append(image);
  }
  examples.hidden = !question.examples;
  const choices = field.querySelector(".choices");
  if (question.is_asked) {
    categories.forEach((name, category) => choices.append(choice(question, name, category, draft)));
  } else {
    field.classList.add("contrast");
    choices.textContent = "For comparison: no answer needed.";
  }
  return part;
}

function choice(question, name, category, draft) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "radio";
  input.name = `q${question.id}`;
  input.value = category;
  const given = draft[question.id] ?? question.answer;
  input.checked = given === category;
  input.addEventListener("change", () => noted(question));
  if (category === 0) label.className = "first";
  if (category === categories.length - 1) label.className = "last";
  label.append(input, name);
  return label;
}

function show(task, revision = false) {
  current = task;
  isRevision = revision;
  isChecked = false;
  shownAt = performance.now();
  $("over").hidden = true;
  $("rating").hidden = false;
  $("kind").hidden = !task.is_warm_up;
  $("back-to-work").hidden = !revision;
  $("skip").hidden = revision;
  $("missing").textContent = "";
  $("question").textContent = asked(task).length === 1 ? "Is it in the image?" : "Which of these are in the image?";
  $("send").firstChild.textContent = revision ? "Save the change " : "Save and next ";
  $("image").src = `image/${task.image}`;
  zoom(false);
  let number = 0;
  const draft = draftOf(task);
  $("labels").replaceChildren(
    ...task.questions.map((question) => row(question, question.is_asked ? (number += 1) : 0, draft)),
  );
  choose(0, false);
  scrollTo(0, 0);
  if (!revision && waiting.length > 1) new Image().src = `image/${waiting[1].image}`;
}

function fields() {
  return [...document.querySelectorAll("#labels fieldset:not(.contrast)")];
}

function choose(next, scroll = true) {
  const all = fields();
  if (!all.length) return;
  place = Math.max(0, Math.min(all.length - 1, next));
  all.forEach((field, i) => field.classList.toggle("current", i === place));
  const input = all[place].querySelector("input:checked") || all[place].querySelector("input");
  input.focus({ preventScroll: !scroll });
  if (scroll) all[place].scrollIntoView({ block: "nearest" });
}

function given() {
  const answers = {};
  for (const field of fields()) {
    const input = field.querySelector("input:checked");
    if (input) answers[field.dataset.question] = Number(input.value);
  }
  return answers;
}

function noted(question) {
  keep(current, given());
  $("missing").textContent = "";
  place = fields().findIndex((field) => field.dataset.question === String(question.id));
  fields().forEach((field, i) => field.classList.toggle("current", i === place));
}

function give(category) {
  if (isChecked || isSending) return;
  const field = fields()[place];
  const input = field.querySelectorAll("input")[category];
  input.checked = true;
  keep(current, given());
  $("missing").textContent = "";
  const open = fields().findIndex((one, i) => i > place && !one.querySelector("input:checked"));
  if (open >= 0) choose(open);
  else $("send").focus();
}

// Sending.

function progress(now) {
  if (!now) return;
  const time = now.minutes === null ? "" : now.minutes < 90
    ? `, about ${Math.max(1, Math.round(now.minutes))} minutes`
    : `, about ${Math.round(now.minutes / 60)} hours`;
  $("progress").textContent = `${now.done} done, ${now.left} left for you${now.left ? time : ""}`;
}

async function persistently(path, body) {
  for (let wait = 1; ; wait = Math.min(30, wait * 2)) {
    try {
      return await ask(path, body);
    } catch (error) {
      if (!(error instanceof NoConnection)) throw error;
      say(`${error.message} Your answers are kept in this browser and sent again by themselves.`, true);
      await new Promise((done) => {
        const timer = setTimeout(done, 1000 * wait);
        addEventListener("online", () => { clearTimeout(timer); done(); }, { once: true });
      });
    }
  }
}

async function send() {
  if (isSending || !current) return;
  if (isChecked) {
    await next();
    return;
  }
  const answers = given();
  const missing = fields().findIndex((field) => !field.querySelector("input:checked"));
  if (missing >= 0) {
    $("missing").textContent = "Answer every label, or skip the task.";
    choose(missing);
    return;
  }
  isSending = true;
  lock(true);
  const task = current;
  try {
    const reply = await persistently("answer", {
      assignment: task.assignment,
      answers,
      key: crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`.padEnd(16, "0"),
      seconds: Math.min(3600, (performance.now() - shownAt) / 1000),
    });
    forget(task);
    waiting = waiting.filter((one) => one.assignment !== task.assignment);
    say("Saved.");
    if (task.is_warm_up && !isRevision) check(reply.saved);
    else await next();
  } catch (error) {
    refused(error);
  } finally {
    isSending = false;
    lock(false);
    if (current === task) $("send").focus();
  }
}

// What is being sent cannot be changed until the server has answered.
function lock(on) {
  $("send").disabled = on;
  fields().forEach((field) => { field.disabled = on || isChecked; });
}

function check(saved) {
  isChecked = true;
  let right = 0;
  for (const question of saved.questions) {
    const field = document.querySelector(`[data-question="${question.id}"]`);
    if (question.truth === null || !field) continue;
    const isRight = question.answer === (question.truth ? categories.length - 1 : 0);
    right += isRight;
    const truth = field.querySelector(".truth");
    truth.hidden = false;
    truth.className = `truth ${isRight ? "right" : "wrong"}`;
    truth.textContent = `${isRight ? "Right" : "The experts say"}: ${categories[question.truth ? categories.length - 1 : 0]}`;
  }
  say(`${right} of ${saved.questions.length} as the experts answered.`);
  $("send").firstChild.textContent = "Next ";
  $("send").focus();
}

async function next() {
  clearTimeout(lookingAgain);
  try {
    const reply = await persistently("next");
    waiting = reply.tasks;
    progress(reply.progress);
    if (waiting.length) show(waiting[0]);
    else over(reply.progress);
  } catch (error) {
    refused(error);
  }
}

function over(now) {
  current = null;
  $("rating").hidden = true;
  $("over").hidden = false;
  const minutes = now.wait === null ? null : Math.max(1, Math.ceil(now.wait / 60));
  const tasks = `${now.left} task${now.left === 1 ? " is" : "s are"} left, in other hands`;
  $("over-text").textContent = minutes !== null
    ? `${tasks}. The next may be free in ${minutes} minute${minutes === 1 ? "" : "s"}.`
    : now.may_ask_again
      ? "Nothing is left at the moment. Unsure questions may be asked again."
      : "Nothing is left to ask you. Thank you for your answers.";
  $("over-title").textContent = minutes !== null || now.may_ask_again ? "Nothing to do just now" : "Thank you";
  $("looks-again").hidden = minutes === null && !now.may_ask_again;
  $("look-again").focus();
  clearTimeout(lookingAgain);
  if (!$("looks-again").hidden) lookingAgain = setTimeout(next, LOOK_AGAIN);
}

function refused(error) {
  if (!(error instanceof Refusal)) throw error;
  say(error.message, true);
  if (!current) $("rating").hidden = true; // nothing was shown yet, as to a rater who is paused
  if (error.status === 409 && !isRevision && current) waiting = [];
}

// Skipping, own last answers, guidelines, zoom.

async function skip(reason) {
  if (!reason.trim()) {
    $("reason").focus();
    return;
  }
  $("skipping").close();
  try {
    await persistently("skip", { assignment: current.assignment, reason });
    forget(current);
    say("Skipped; somebody else gets it.");
    await next();
  } catch (error) {
    refused(error);
  }
}

async function last() {
  try {
    const { tasks } = await ask("last");
    $("last-list").replaceChildren(...tasks.map((task) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      const image = document.createElement("img");
      image.src = `thumbnail/${task.image}`;
      image.alt = "";
      image.loading = "lazy";
      button.append(image, asked(task).map((q) => `${q.name}: ${categories[q.answer] ?? "–"}`).join(", "));
      button.addEventListener("click", () => { $("last").close(); show(task, true); });
      item.append(button);
      return item;
    }));
    $("last").showModal();
  } catch (error) {
    if (error instanceof NoConnection) say(error.message, true);
    else refused(error);
  }
}

function zoom(on) {
  $("zoom").setAttribute("aria-pressed", String(on));
}

function begin() {
  if (!$("rating").dataset.first || $("rating").dataset.first === "false") return;
  $("rating").dataset.first = "false";
  $("close-guidelines").textContent = "Close";
  persistently("begin").then(next, refused);
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input[type=text], input:not([type])")) return;
  const pressed = event.key.toLowerCase();
  const count = fields().length;
  const act = {
    g: () => $("guidelines").showModal(),
    b: () => isSending || last(),
    z: () => zoom($("zoom").getAttribute("aria-pressed") !== "true"),
    s: () => !isRevision && !isSending && current && $("skipping").showModal(),
    arrowdown: () => choose(place + 1),
    arrowup: () => choose(place - 1),
  };
  if (current && haveLetters && letters.includes(pressed) && count) give(letters.indexOf(pressed));
  else if (current && /^[1-9]$/.test(pressed) && Number(pressed) <= count) choose(Number(pressed) - 1);
  else if (pressed === "enter" && current && !event.target.matches("button:not(#send)")) send();
  else if (act[pressed]) act[pressed]();
  else return;
  event.preventDefault();
});

$("answers").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("skip").addEventListener("click", () => $("skipping").showModal());
$("do-skip").addEventListener("click", () => skip($("reason").value));
$("keep").addEventListener("click", () => $("skipping").close());
document.querySelectorAll(".reasons button").forEach((button) => {
  button.addEventListener("click", () => skip(button.textContent));
});
$("show-last").addEventListener("click", last);
$("close-last").addEventListener("click", () => $("last").close());
$("back-to-work").addEventListener("click", next);
$("look-again").addEventListener("click", next);
$("zoom").addEventListener("click", () => zoom($("zoom").getAttribute("aria-pressed") !== "true"));
$("show-guidelines").addEventListener("click", () => $("guidelines").showModal());
$("close-guidelines").addEventListener("click", () => $("guidelines").close());
$("guidelines").addEventListener("close", begin);
$("image").addEventListener("error", () => say("The image cannot be shown. Skip the task, or load the page again.", true));

if ($("rating").dataset.first === "true") $("guidelines").showModal();
else next();
