/* The query tester. The request goes to the gateway as any caller's; the answer is shown as text, whatever it holds. */
"use strict";

const tester = document.getElementById("tester");
const ask = document.getElementById("ask");
const body = document.getElementById("body");
const send = ask.querySelector("button[type=submit]");
const cancel = document.getElementById("cancel");
const badge = document.getElementById("status");
const facts = document.getElementById("facts");
const answer = document.getElementById("answer");
const timing = document.getElementById("timing");
const LONGEST = 200000;
const STEPS = ["queue", "wait", "decode", "predict", "encode", "gateway"];
const SVG = "http://www.w3.org/2000/svg";
let under_way = null;

send.disabled = false;
send.removeAttribute("data-off");

/* --- JSON as it came: numbers keep all their digits, which JSON.parse would not */

function pretty(text) {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) || [];
  let at = 0;
  function value(depth) {
    const token = tokens[at++];
    if (token !== "{" && token !== "[") return token ?? "";
    const close = token === "{" ? "}" : "]";
    const parts = [];
    while (at < tokens.length && tokens[at] !== close) {
      let part = value(depth + 1);
      if (tokens[at] === ":") { at++; part += ": " + value(depth + 1); }
      parts.push(part);
      if (tokens[at] === ",") at++;
    }
    at++;
    const flat = parts.join(", ");
    if (flat.length + 2 * depth < 90 && !flat.includes("\n")) return token + flat + close;
    const space = "  ".repeat(depth + 1);
    return `${token}\n${space}${parts.join(`,\n${space}`)}\n${"  ".repeat(depth)}${close}`;
  }
  return value(0);
}

function shown(text) {
  try {
    JSON.parse(text);
    return pretty(text);
  } catch { return text; }
}

/* --- the form of the columns */

document.getElementById("fill")?.addEventListener("click", () => {
  const parts = [];
  for (const field of document.querySelectorAll("[data-column]")) {
    const kind = field.dataset.kind;
    const text = field.value.trim();
    const number = kind === "integer" ? /^[+-]?\d+$/ : /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
    const wrong = (kind === "integer" || kind === "number") && text !== "" && !number.test(text);
    field.setCustomValidity?.(wrong ? `A${kind === "integer" ? " whole" : ""} number, or nothing.` : "");
    if (wrong) { field.reportValidity(); return; }
    if (text === "" && kind !== "text") {
      if (field.hasAttribute("data-required")) parts.push(`${JSON.stringify(field.dataset.column)}: null`);
      continue;
    }
    if (text === "" && !field.hasAttribute("data-required")) continue;
    const digits = text.replace(/^\+/, "").replace(/^(-?)0+(?=\d)/, "$1").replace(/^(-?)\./, "$10.").replace(/\.(?=$|e)/i, "");
    parts.push(`${JSON.stringify(field.dataset.column)}: ${kind === "text" ? JSON.stringify(field.value) : digits}`);
  }
  body.value = shown(`{"dataframe_records": [{${parts.join(", ")}}]}`);
  body.focus();
});

/* --- where the answer's time went */

function steps(header) {
  const found = {};
  for (const entry of header.split(",")) {
    const [name, ...rest] = entry.trim().split(";");
    const duration = rest.find((part) => part.trim().startsWith("dur="));
    if (name && duration) found[name] = Number(duration.trim().slice(4)) || 0;
  }
  return found;
}

function milliseconds(value) { return `${value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2)} ms`; }

function rectangle(fill, x, width, height) {
  const part = document.createElementNS(SVG, "rect");
  for (const [name, value] of Object.entries({ class: fill, x, y: 0, width, height })) part.setAttribute(name, value);
  return part;
}

function draw(found) {
  const known = STEPS.slice(0, -1).reduce((sum, step) => sum + (found[step] || 0), 0);
  const total = Math.max(found.total || 0, known);
  timing.hidden = !(total > 0);
  if (timing.hidden) return;
  const values = { ...found, gateway: total - known };
  const bar = timing.querySelector("svg");
  const legend = timing.querySelector("ul");
  bar.replaceChildren();
  legend.replaceChildren();
  let at = 0;
  STEPS.forEach((step, number) => {
    const value = values[step] || 0;
    const width = (value / total) * 1000;
    bar.append(rectangle(`f${number + 1}`, at, width, 20));
    at += width;
    const item = document.createElement("li");
    const key = document.createElementNS(SVG, "svg");
    key.setAttribute("viewBox", "0 0 12 12");
    key.setAttribute("aria-hidden", "true");
    key.append(rectangle(`f${number + 1}`, 0, 12, 12));
    const bold = document.createElement("b");
    bold.textContent = milliseconds(value);
    item.append(key, `${step} `, bold);
    legend.append(item);
  });
  if (found.cold) {
    const item = document.createElement("li");
    item.textContent = `of it a cold start: ${milliseconds(found.cold)}`;
    legend.append(item);
  }
  bar.setAttribute("aria-label", STEPS.map((step) => `${step} ${milliseconds(values[step] || 0)}`).join(", "));
  document.getElementById("total").textContent = `${milliseconds(total)} on the server`;
}

/* --- send */

function say(state, text) {
  badge.dataset.state = state;
  badge.textContent = text;
}

ask.addEventListener("submit", async (event) => {
  event.preventDefault();
  under_way?.abort();
  const mine = under_way = new AbortController();
  send.disabled = true;
  cancel.hidden = false;
  timing.hidden = true;
  facts.textContent = "";
  say("starting", "waiting for the answer");
  const began = performance.now();
  try {
    const got = await fetch(tester.dataset.url, {
      method: "POST", body: body.value, headers: { "content-type": "application/json" },
      credentials: "same-origin", redirect: "manual", signal: mine.signal,
    });
    const text = await got.text();
    const took = performance.now() - began;
    if (got.type === "opaqueredirect" || got.status === 401) { location.reload(); return; }
    say(got.ok ? "ready" : "failed", `${got.status} ${got.ok ? "answered" : "refused"}`);
    facts.textContent = [
      got.headers.get("served-model-name") && `by ${got.headers.get("served-model-name")}`,
      `${milliseconds(took)} for the browser`, `request ${got.headers.get("x-request-id") || "without an id"}`,
    ].filter(Boolean).join(" · ");
    draw(steps(got.headers.get("server-timing") || ""));
    answer.textContent = text.length > LONGEST
      ? `${text.slice(0, LONGEST)}\n… ${(text.length - LONGEST).toLocaleString()} more characters`
      : shown(text) || "The answer has no body.";
  } catch (error) {
    if (mine !== under_way) return;
    say("failed", error.name === "AbortError" ? "cancelled" : "no answer");
    answer.textContent = error.name === "AbortError"
      ? "The request was cancelled here. The model may have begun to predict."
      : "The server did not answer. Is it running, and is this page still connected?";
  } finally {
    if (mine === under_way) { send.disabled = false; cancel.hidden = true; under_way = null; }
  }
});
cancel.addEventListener("click", () => under_way?.abort());
body.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") { event.preventDefault(); if (!send.disabled) ask.requestSubmit(); }
});
