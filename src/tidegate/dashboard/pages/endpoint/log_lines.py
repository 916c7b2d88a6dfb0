"""Lines of a log as a page shows them: without terminal codes, cut, with what was looked for marked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_LINE = 4000
"""Characters of a line that are shown."""
MOST_LINES = 1000
"""Lines that a page shows, the newest."""

# Terminal codes: colours and movements of the cursor, and titles of windows.
_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = dict.fromkeys((*range(9), *range(11, 32), 127))
_ERROR = re.compile(
    r"\b(?:error|exception|fatal|critical|traceback|failed|cannot|could not|no solution)\b|\w(?:Error|Exception)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its parts, each with whether it was looked for, and whether it tells of an error."""

    parts: tuple[tuple[str, bool], ...]
    is_error: bool


def plain_lines(text: str) -> list[str]:
    """The lines of a log. Of a line that was written over, such as a progress bar, the newest state is shown."""
    found = []
    for line in text.split("\n"):
        newest = line.rstrip("\r").rpartition("\r")[2]
        plain = _CODES.sub("", newest).translate(_CONTROL)
        found.append(f"{plain[:LONGEST_LINE]} …" if len(plain) > LONGEST_LINE else plain)
    if found and not found[-1]:
        found.pop()
    return found


def matching(lines: Sequence[str], find: str) -> list[str]:
    """The lines that have a text in them, in either case."""
    wanted = find.lower()
    return [line for line in lines if wanted in line.lower()] if find else list(lines)


def shown_lines(lines: Sequence[str], find: str) -> tuple[Line, ...]:
    """The lines with what was looked for marked."""
    return tuple(Line(_parts(line, find), tells_error(line)) for line in lines)


def tells_error(line: str) -> bool:
    """Whether a line tells of an error."""
    return _ERROR.search(line) is not None


def first_error(lines: Sequence[str]) -> str:
    """The first line that tells of an error; empty where none does."""
    return next((line for line in lines if tells_error(line)), "")


def _parts(line: str, find: str) -> tuple[tuple[str, bool], ...]:
    if not find:
        return ((line, False),)
    parts, at = [], 0
    for found in re.finditer(re.escape(find), line, re.IGNORECASE):
        parts += [(line[at : found.start()], False), (found.group(), True)]
        at = found.end()
    return tuple(part for part in (*parts, (line[at:], False)) if part[0])
