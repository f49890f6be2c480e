"use strict";
// The administrator's page: figures, and pausing or excluding raters.

const number = (value, digits = 0) => (value === null || value === undefined ? "–" : value.toFixed(digits));

function figures(now) {
  $("bar").max = Math.max(1, now.wanted);
  $("bar").value = now.answers;
  const hours = now.per_hour ? (now.wanted - now.answers) / now.per_hour : null;
  const rows = {
    "tasks done": `${now.tasks - now.open_tasks} of ${now.tasks}`,
    "answers": `${now.answers} of ${now.wanted}`,
    "in hands": now.lent,
    "answers in the last hour": now.per_hour,
    "hours left at this speed": now.open_tasks ? number(hours, 1) : "0",
    "equal answers": now.agreement === null ? "–" : `${(100 * now.agreement).toFixed(1)}%`,
    "labels so far": now.labels ?? "–",
    "unsure questions": now.unsure ?? "–",
  };
  $("figures").replaceChildren(...Object.entries(rows).map(([name, value]) => {
    const part = document.createElement("div");
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    part.append(term, text);
    return part;
  }));
  $("raters").replaceChildren(...now.raters.map(raterRow));
  list("unsure", now.unsure_questions, unsureRow);
  list("skipped", now.last_skipped, (item) => pictureRow(item, [item.rater, item.reason ?? ""]));
  list("labels-so-far", now.last_images, labelsRow);
  const invite = now.needs_raters
    ? ` ${now.needs_raters} open task${now.needs_raters === 1 ? "" : "s"} can be given to none of the raters: invite more.`
    : "";
  say(`As of ${new Date().toLocaleTimeString()}.${invite}`, Boolean(invite));
}

// Fills a table, which is shown if it has rows, in place of the note before it.
function list(id, items, row) {
  const body = $(id);
  body.replaceChildren(...items.map(row));
  body.closest("table").hidden = !items.length;
  body.closest(".scroll").previousElementSibling.hidden = items.length > 0;
}

function pictureRow(item, texts) {
  const row = document.createElement("tr");
  const link = document.createElement("a");
  link.href = `image/${item.image}`;
  const image = document.createElement("img");
  image.src = `thumbnail/${item.image}`;
  image.alt = item.file_name;
  image.loading = "lazy";
  link.append(image);
  row.insertCell().append(link);
  for (const text of [item.file_name, ...texts]) row.insertCell().textContent = text;
  return row;
}

function unsureRow(item) {
  const votes = Object.entries(item.votes).map(([name, count]) => `${count} ${name}`).join(", ");
  return pictureRow(item, [item.name, item.score.toFixed(2), votes]);
}

function labelsRow(item) {
  const labels = item.labels.map((one) => `${one.name} (${one.score.toFixed(2)})`).join(", ");
  return pictureRow(item, [labels || "none"]);
}

function raterRow(rater) {
  const row = document.createElement("tr");
  const cells = [
    rater.pseudonym, rater.note ?? "", rater.done, rater.skipped, number(rater.seconds, 1),
    rater.gold ? `${rater.gold_right} of ${rater.gold}` : "–", number(rater.informedness, 2),
    rater.last ? new Date(1000 * rater.last).toLocaleString() : "–",
    rater.is_excluded ? "excluded" : rater.is_paused ? "paused" : "",
  ];
  for (const text of cells) row.insertCell().textContent = text;
  const actions = row.insertCell();
  actions.append(
    change(rater, rater.is_paused ? "Resume" : "Pause", { is_paused: !rater.is_paused }),
    " ",
    change(rater, rater.is_excluded ? "Include" : "Exclude", { is_excluded: !rater.is_excluded }),
  );
  return row;
}

function change(rater, name, values) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.setAttribute("aria-label", `${name} ${rater.pseudonym}`);
  button.addEventListener("click", () => load("change", { rater: rater.pseudonym, ...values }));
  return button;
}

async function load(path = "status", body = {}) {
  try {
    figures(await ask(path, body));
  } catch (error) {
    say(error.message, true);
  }
}

$("refresh").addEventListener("click", () => load());
setInterval(() => document.hidden || load(), 30000);
load();
