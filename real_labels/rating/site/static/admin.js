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
  say(`As of ${new Date().toLocaleTimeString()}.`);
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
