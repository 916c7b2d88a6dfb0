/* A log that grows: new lines come as text, and the newest is kept in sight while "Follow" is ticked. */
"use strict";

const log = document.getElementById("log");
const follow = document.getElementById("follow");
const MOST = 5000;

function part(text, find) {
  const line = document.createElement("span");
  let at = 0;
  if (find) {
    const low = text.toLowerCase();
    for (let found = low.indexOf(find); found >= 0; found = low.indexOf(find, at)) {
      const mark = document.createElement("mark");
      mark.textContent = text.slice(found, found + find.length);
      line.append(text.slice(at, found), mark);
      at = found + find.length;
    }
  }
  line.append(text.slice(at) + "\n");
  return line;
}

function note(text) {
  const line = document.createElement("span");
  line.className = "note";
  line.textContent = text + "\n";
  return line;
}

function end() { if (follow.querySelector("input").checked) log.scrollTop = log.scrollHeight; }

follow.hidden = false;
follow.addEventListener("change", end);
end();
document.addEventListener("tidegate:lines", (event) => {
  const news = event.detail;
  log.querySelector("[data-begun]")?.remove();
  const find = log.dataset.find.toLowerCase();
  const lines = document.createDocumentFragment();
  if (news.anew) lines.append(note("— the log was rotated; the older lines are above —"));
  if (news.skipped) lines.append(note("— lines are left out: the log grows faster than it is shown —"));
  for (const [text, bad] of news.lines) {
    const line = part(text, find);
    if (bad) line.className = "bad";
    lines.append(line);
  }
  log.append(lines);
  while (log.childElementCount > MOST) log.firstElementChild.remove();
  end();
});
