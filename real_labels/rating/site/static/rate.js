"use strict";
// The rating page: shows one task, preloads the image of the next task, and keeps drafts in this browser.

const categories = JSON.parse($("rating").dataset.categories);
const letters = categories.map((name) => name[0].toLowerCase());
const haveLetters = new Set(letters).size === letters.length;
let heldTasks = []; // the tasks that the rater holds, the current task first
let current = null; // the task that is shown
let isRevision = false;
let showsTruth = false; // whether a warm-up task shows the experts' answers
let isSending = false;
let currentLabel = 0; // position of the label that the keys answer
let shownAt = 0;
let checkTimer = 0; // timer of the next check, while there are no tasks
const CHECK_INTERVAL = 30000; // milliseconds

// Drafts: unsaved answers, by assignment. They survive a reload, a lost connection and an expired session.

const key = (task) => `draft:${$("rating").dataset.project}:${task.assignment}`;

function draftOf(task) {
  try {
    return JSON.parse(localStorage.getItem(key(task))) || {};
  } catch {
    return {};
  }
}

function saveDraft(task, draft) {
  try {
    localStorage.setItem(key(task), JSON.stringify(draft));
  } catch { /* storage is full or forbidden: the page works without drafts */ }
}

function removeDraft(task) {
  localStorage.removeItem(key(task));
}

// Showing a task.

function asked(task) {
  return task.questions.filter((question) => question.is_asked);
}

function labelRow(question, number, draft) {
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
  input.addEventListener("change", () => answerChanged(question));
  if (category === 0) label.className = "first";
  if (category === categories.length - 1) label.className = "last";
  label.append(input, name);
  return label;
}

function show(task, revision = false) {
  current = task;
  isRevision = revision;
  showsTruth = false;
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
    ...task.questions.map((question) => labelRow(question, question.is_asked ? (number += 1) : 0, draft)),
  );
  chooseLabel(0, false);
  scrollTo(0, 0);
  if (!revision && heldTasks.length > 1) new Image().src = `image/${heldTasks[1].image}`;
}

function fields() {
  return [...document.querySelectorAll("#labels fieldset:not(.contrast)")];
}

function chooseLabel(position, scroll = true) {
  const all = fields();
  if (!all.length) return;
  currentLabel = Math.max(0, Math.min(all.length - 1, position));
  all.forEach((field, i) => field.classList.toggle("current", i === currentLabel));
  const input = all[currentLabel].querySelector("input:checked") || all[currentLabel].querySelector("input");
  input.focus({ preventScroll: !scroll });
  if (scroll) all[currentLabel].scrollIntoView({ block: "nearest" });
}

function chosenAnswers() {
  const answers = {};
  for (const field of fields()) {
    const input = field.querySelector("input:checked");
    if (input) answers[field.dataset.question] = Number(input.value);
  }
  return answers;
}

function answerChanged(question) {
  saveDraft(current, chosenAnswers());
  $("missing").textContent = "";
  currentLabel = fields().findIndex((field) => field.dataset.question === String(question.id));
  fields().forEach((field, i) => field.classList.toggle("current", i === currentLabel));
}

function answerCurrentLabel(category) {
  if (showsTruth || isSending) return;
  const field = fields()[currentLabel];
  const input = field.querySelectorAll("input")[category];
  input.checked = true;
  saveDraft(current, chosenAnswers());
  $("missing").textContent = "";
  const open = fields().findIndex((field, i) => i > currentLabel && !field.querySelector("input:checked"));
  if (open >= 0) chooseLabel(open);
  else $("send").focus();
}

// Sending.

function showProgress(progress) {
  if (!progress) return;
  const { done, left, minutes } = progress;
  const time = minutes === null ? "" : minutes < 90
    ? `, about ${Math.max(1, Math.round(minutes))} minutes`
    : `, about ${Math.round(minutes / 60)} hours`;
  $("progress").textContent = `${done} done, ${left} left for you${left ? time : ""}`;
}

async function askUntilAnswered(path, body) {
  for (let wait = 1; ; wait = Math.min(30, wait * 2)) {
    try {
      return await ask(path, body);
    } catch (error) {
      if (!(error instanceof NoConnection)) throw error;
      say(`${error.message} Your answers are kept in this browser and are sent again automatically.`, true);
      await new Promise((done) => {
        const timer = setTimeout(done, 1000 * wait);
        addEventListener("online", () => { clearTimeout(timer); done(); }, { once: true });
      });
    }
  }
}

async function send() {
  if (isSending || !current) return;
  if (showsTruth) {
    await showNext();
    return;
  }
  const answers = chosenAnswers();
  const missing = fields().findIndex((field) => !field.querySelector("input:checked"));
  if (missing >= 0) {
    $("missing").textContent = "Answer every label, or skip the task.";
    chooseLabel(missing);
    return;
  }
  isSending = true;
  lock(true);
  const task = current;
  try {
    const reply = await askUntilAnswered("answer", {
      assignment: task.assignment,
      answers,
      key: crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`.padEnd(16, "0"),
      seconds: Math.min(3600, (performance.now() - shownAt) / 1000),
    });
    removeDraft(task);
    heldTasks = heldTasks.filter((other) => other.assignment !== task.assignment);
    say("Saved.");
    if (task.is_warm_up && !isRevision) showTruth(reply.saved);
    else await showNext();
  } catch (error) {
    showRefusal(error);
  } finally {
    isSending = false;
    lock(false);
    if (current === task) $("send").focus();
  }
}

// Answers that are being sent cannot be changed until the server has answered.
function lock(on) {
  $("send").disabled = on;
  fields().forEach((field) => { field.disabled = on || showsTruth; });
}

function showTruth(saved) {
  showsTruth = true;
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
  say(`${right} of ${saved.questions.length} answers are the same as the experts'.`);
  $("send").firstChild.textContent = "Next ";
  $("send").focus();
}

async function showNext() {
  clearTimeout(checkTimer);
  try {
    const reply = await askUntilAnswered("next");
    heldTasks = reply.tasks;
    showProgress(reply.progress);
    if (heldTasks.length) show(heldTasks[0]);
    else showNoTasks(reply.progress);
  } catch (error) {
    showRefusal(error);
  }
}

function showNoTasks(progress) {
  current = null;
  $("rating").hidden = true;
  $("over").hidden = false;
  const { left, wait, may_ask_again: mayAskAgain } = progress;
  const minutes = wait === null ? null : Math.max(1, Math.ceil(wait / 60));
  const tasks = left === 1
    ? "1 task is left, but another rater is working on it"
    : `${left} tasks are left, but other raters are working on them`;
  $("over-text").textContent = minutes !== null
    ? `${tasks}. A task may be free in ${minutes} minute${minutes === 1 ? "" : "s"}.`
    : mayAskAgain
      ? "There are no tasks at the moment. Unsure questions may be asked again."
      : "There are no more tasks for you. Thank you for your answers.";
  $("over-title").textContent = minutes !== null || mayAskAgain ? "No tasks at the moment" : "Thank you";
  $("looks-again").hidden = minutes === null && !mayAskAgain;
  $("look-again").focus();
  clearTimeout(checkTimer);
  if (!$("looks-again").hidden) checkTimer = setTimeout(showNext, CHECK_INTERVAL);
}

function showRefusal(error) {
  if (!(error instanceof Refusal)) throw error;
  say(error.message, true);
  if (!current) $("rating").hidden = true; // no task was shown yet, for example because the rater is paused
  if (error.status === 409 && !isRevision && current) heldTasks = [];
}

// Skipping, the rater's last answers, guidelines, zoom.

async function skip(reason) {
  if (!reason.trim()) {
    $("reason").focus();
    return;
  }
  $("skipping").close();
  try {
    await askUntilAnswered("skip", { assignment: current.assignment, reason });
    removeDraft(current);
    say("Skipped. Another rater gets this task.");
    await showNext();
  } catch (error) {
    showRefusal(error);
  }
}

async function showLast() {
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
    else showRefusal(error);
  }
}

function zoom(on) {
  $("zoom").setAttribute("aria-pressed", String(on));
}

function begin() {
  if (!$("rating").dataset.first || $("rating").dataset.first === "false") return;
  $("rating").dataset.first = "false";
  $("close-guidelines").textContent = "Close";
  askUntilAnswered("begin").then(showNext, showRefusal);
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input[type=text], input:not([type])")) return;
  const pressed = event.key.toLowerCase();
  const count = fields().length;
  const act = {
    g: () => $("guidelines").showModal(),
    b: () => isSending || showLast(),
    z: () => zoom($("zoom").getAttribute("aria-pressed") !== "true"),
    s: () => !isRevision && !isSending && current && $("skipping").showModal(),
    arrowdown: () => chooseLabel(currentLabel + 1),
    arrowup: () => chooseLabel(currentLabel - 1),
  };
  if (current && haveLetters && letters.includes(pressed) && count) answerCurrentLabel(letters.indexOf(pressed));
  else if (current && /^[1-9]$/.test(pressed) && Number(pressed) <= count) chooseLabel(Number(pressed) - 1);
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
$("show-last").addEventListener("click", showLast);
$("close-last").addEventListener("click", () => $("last").close());
$("back-to-work").addEventListener("click", showNext);
$("look-again").addEventListener("click", showNext);
$("zoom").addEventListener("click", () => zoom($("zoom").getAttribute("aria-pressed") !== "true"));
$("show-guidelines").addEventListener("click", () => $("guidelines").showModal());
$("close-guidelines").addEventListener("click", () => $("guidelines").close());
$("guidelines").addEventListener("close", begin);
$("image").addEventListener("error", () => say("The image cannot be shown. Skip the task, or load the page again.", true));

if ($("rating").dataset.first === "true") $("guidelines").showModal();
else showNext();
