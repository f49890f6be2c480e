"use strict";
// The administrator's page: figures, and pausing or excluding raters.

const number = (value, digits = 0) => (value === null || value === undefined ? "–" : value.toFixed(digits));

function showFigures(figures) {
  $("bar").max = Math.max(1, figures.wanted);
  $("bar").value = figures.answers;
  const hours = figures.per_hour ? (figures.wanted - figures.answers) / figures.per_hour : null;
  const rows = {
    "tasks done": `${figures.tasks - figures.open_tasks} of ${figures.tasks}`,
    "answers": `${figures.answers} of ${figures.wanted}`,
    "tasks held by raters": figures.lent,
    "answers in the last hour": figures.per_hour,
    "hours left at this speed": figures.open_tasks ? number(hours, 1) : "0",
    "equal pairs of answers": figures.agreement === null ? "–" : `${(100 * figures.agreement).toFixed(1)}%`,
    "labels so far": figures.labels ?? "–",
    "unsure questions": figures.unsure ?? "–",
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
  $("raters").replaceChildren(...figures.raters.map(raterRow));
  fillTable("unsure", figures.unsure_questions, unsureRow);
  fillTable("skipped", figures.last_skipped, (item) => pictureRow(item, [item.rater, item.reason ?? ""]));
  fillTable("labels-so-far", figures.last_images, labelsRow);
  const invite = figures.needs_raters
    ? ` No rater can take ${figures.needs_raters} of the open tasks, as all raters have had them: invite more raters.`
    : "";
  say(`As of ${new Date().toLocaleTimeString()}.${invite}`, Boolean(invite));
}

// Fills a table. A table with rows is shown; otherwise the note before the table is shown instead.
function fillTable(id, items, row) {
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
  const labels = item.labels.map((label) => `${label.name} (${label.score.toFixed(2)})`).join(", ");
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
    showFigures(await ask(path, body));
  } catch (error) {
    say(error.message, true);
  }
}

$("refresh").addEventListener("click", () => load());
setInterval(() => document.hidden || load(), 30000);
load();
