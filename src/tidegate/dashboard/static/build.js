/* The build page: lines are added to its logs, and it is shown anew when the attempt has ended. */
"use strict";

const build = document.querySelector("[data-outcome]");
const MOST = 2000;

for (const log of document.querySelectorAll("[data-log]")) {
  const error = log.querySelector("#error");
  log.scrollTop = error ? error.offsetTop - log.offsetTop - log.clientHeight / 3 : log.scrollHeight;
}

function line(text, kind) {
  const span = document.createElement("span");
  span.className = kind;
  span.textContent = text + "\n";
  return span;
}

document.addEventListener("tidegate:lines", (event) => {
  const { log: name, lines, anew, skipped } = event.detail;
  for (const log of document.querySelectorAll(`[data-log="${CSS.escape(name)}"]`)) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    if (anew) log.append(line("— the log was rotated; the older lines are above —", "note"));
    if (skipped) log.append(line("— lines are left out: the log grows faster than it is shown —", "note"));
    for (const [text, bad] of lines) log.append(line(text, bad ? "bad" : ""));
    while (log.childElementCount > MOST) log.firstElementChild.remove();
    log.closest("details").hidden = false;
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
});

document.addEventListener("tidegate:step", (event) => {
  if (build && event.detail.outcome !== build.dataset.outcome) location.reload();
});
