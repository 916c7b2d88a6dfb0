/* What every page shares: the event stream, the theme, dialogs, the finder. All pages work without it. */
"use strict";

const root = document.documentElement;
const dot = document.querySelector("[data-live-state]");

/* --- the theme */

document.querySelector("[data-theme-switch]")?.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("tidegate-theme", root.dataset.theme); } catch { /* for this page only */ }
  document.dispatchEvent(new CustomEvent("tidegate:theme"));
});

/* --- dialogs: older browsers do not know `commandfor` */

if (!("command" in HTMLButtonElement.prototype)) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[commandfor]");
    const dialog = button && document.getElementById(button.getAttribute("commandfor"));
    if (!dialog) return;
    if (button.getAttribute("command") === "show-modal") dialog.showModal(); else dialog.close();
  });
}

/* A message of an action is shown once: a reload does not bring it back. */
{
  const here = new URL(location.href);
  if (here.searchParams.has("flash")) {
    here.searchParams.delete("flash");
    history.replaceState(history.state, "", here);
  }
}

/* On a phone, the tab that is shown may be out of sight. */
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

/* A form that was sent cannot be sent again by a second click. */
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button && event.target.method === "post" && !event.target.hasAttribute("hx-post")) {
    setTimeout(() => { button.disabled = true; }, 0);
  }
});
window.addEventListener("pageshow", () => document.querySelectorAll("form button:disabled").forEach((b) => {
  if (!b.hasAttribute("data-off")) b.disabled = false;
}));

/* --- times, in the reader's zone or in UTC */

const TIMES = { dateStyle: "medium", timeStyle: "medium" };
const SHORT_TIMES = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
function zone() { try { return localStorage.getItem("tidegate-zone") || "local"; } catch { return "local"; } }
function writeTimes(within = document) {
  const utc = zone() === "utc";
  const zoned = utc ? { timeZone: "UTC" } : {};
  const format = new Intl.DateTimeFormat(undefined, { ...TIMES, ...zoned });
  const short = new Intl.DateTimeFormat(undefined, { ...SHORT_TIMES, ...zoned }); /* in tables of many times */
  for (const time of within.querySelectorAll("time[datetime]:not([data-ago])")) {
    const date = new Date(time.dateTime);
    time.textContent = "short" in time.dataset ? short.format(date) : format.format(date) + (utc ? " UTC" : "");
  }
  const button = document.querySelector("[data-zone-switch]");
  if (button) button.textContent = utc ? "Times: UTC" : "Times: local";
}
document.querySelector("[data-zone-switch]")?.addEventListener("click", () => {
  try { localStorage.setItem("tidegate-zone", zone() === "utc" ? "local" : "utc"); } catch { /* stays */ }
  writeTimes();
  document.dispatchEvent(new CustomEvent("tidegate:zone"));
});
writeTimes();
document.addEventListener("htmx:after:swap", () => writeTimes());

/* --- the event stream: one a page, closed while the page is hidden */

let source = null;

function state(name) {
  if (!dot) return;
  dot.hidden = !document.querySelector("[data-stream]"); /* a page without a stream is not live, and not paused either */
  dot.dataset.liveState = name;
  dot.textContent = name;
}

function show(values) {
  for (const [key, text] of Object.entries(values)) {
    for (const element of document.querySelectorAll(`[data-live="${CSS.escape(key)}"]`)) {
      if (element.tagName === "polyline") element.setAttribute("points", text);
      else if (element.textContent !== text) {
        element.textContent = text;
        if ("state" in element.dataset) element.dataset.state = text;
      }
    }
  }
}

function listen() {
  const place = document.querySelector("[data-stream]");
  if (!place || source || document.hidden) return;
  source = new EventSource(place.dataset.stream);
  source.onopen = () => state("live");
  source.onerror = () => {
    state("reconnecting");
    if (source.readyState !== EventSource.CLOSED) return;
    source = null; /* refused: the session has ended, or there are too many streams */
    fetch(location.href, { method: "HEAD", redirect: "manual" }).then((answer) => {
      if (answer.type === "opaqueredirect" || answer.status === 401) location.reload();
      else setTimeout(listen, 30000);
    }, () => setTimeout(listen, 3000));
  };
  source.addEventListener("values", (event) => show(JSON.parse(event.data)));
  for (const name of ["points", "lines", "refresh", "step"]) {
    source.addEventListener(name, (event) => document.dispatchEvent(
      new CustomEvent(`tidegate:${name}`, { detail: JSON.parse(event.data) })));
  }
}

function hush(name) {
  source?.close();
  source = null;
  state(name);
}

document.addEventListener("tidegate:refresh", (event) => {
  for (const name of event.detail) {
    for (const element of document.querySelectorAll(`[data-part="${CSS.escape(name)}"]`)) {
      readAnew(element);
    }
  }
});
/* Not while somebody works in it: an open dialog, or a form that is being filled in. */
function readAnew(element) {
  if (!window.htmx || !element.isConnected || element.querySelector("form[data-touched]")) return;
  if (element.querySelector("dialog[open]")) setTimeout(readAnew, 2000, element);
  else htmx.trigger(element, "part");
}
document.addEventListener("input", (event) => event.target.form?.setAttribute("data-touched", ""));
document.addEventListener("visibilitychange", () => { if (document.hidden) hush("paused"); else listen(); });
window.addEventListener("pagehide", () => hush("paused"));
window.addEventListener("pageshow", () => listen());
/* A new part of the page may name another stream. */
document.addEventListener("htmx:after:swap", () => {
  const place = document.querySelector("[data-stream]");
  if (place && source && new URL(place.dataset.stream, location.href).href !== source.url) { hush("paused"); listen(); }
});

/* --- a part of the page that could not be read: the old one stays, and a sentence says so. After a session's end the
   whole page is asked for, which leads to the log-in. */

function complain(text) {
  let alert = document.getElementById("part-failed");
  if (!alert) {
    alert = document.createElement("div");
    alert.id = "part-failed";
    alert.className = "alert bad";
    alert.setAttribute("role", "alert");
    alert.append(document.createElement("p"));
    document.querySelector("main .stack")?.prepend(alert);
  }
  alert.firstChild.textContent = text;
}
document.addEventListener("htmx:response:error", (event) => {
  const status = event.detail.ctx.response.status;
  if (status === 401) location.reload();
  else complain(`This part of the page could not be read: the server answered ${status}. Reload the page.`);
});
document.addEventListener("htmx:after:swap", (event) => {
  if (!(event.detail?.ctx?.response?.status >= 400)) document.getElementById("part-failed")?.remove();
});

/* --- the finder: Ctrl-K */

const finder = document.getElementById("finder");
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && finder) {
    event.preventDefault();
    if (!finder.open) finder.showModal();
    finder.querySelector("input").focus();
  }
});
finder?.addEventListener("keydown", (event) => {
  const stops = [finder.querySelector("input"), ...finder.querySelectorAll("li a")];
  const at = stops.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) { event.preventDefault(); stops[Math.max(0, Math.min(stops.length - 1, at + step))].focus(); }
  if (event.key === "Enter" && at === 0 && stops[1]) { event.preventDefault(); stops[1].click(); }
});

/* --- copy buttons */

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; } catch { button.textContent = "Select and copy it"; }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});
