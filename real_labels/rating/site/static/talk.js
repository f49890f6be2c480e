"use strict";
// Requests of the pages' scripts, each with the page's token. The rating page repeats a request, with the same key,
// until the server answers (see askUntilAnswered in rate.js).

const token = document.body.dataset.token;

class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

class NoConnection extends Error {}

async function ask(path, body = {}) {
  let reply;
  try {
    reply = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": token },
      body: JSON.stringify(body),
    });
  } catch {
    throw new NoConnection("No connection.");
  }
  if (reply.status >= 500) throw new NoConnection("The server does not answer.");
  const content = await reply.json();
  if (!reply.ok) throw new Refusal(reply.status, content.error);
  return content;
}

const $ = (id) => document.getElementById(id);

function say(text, isBad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", isBad);
}
