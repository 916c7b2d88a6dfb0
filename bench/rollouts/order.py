"""Who may answer when: a version from when it was asked for, and none that is sent after its successor has answered."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back to request `number`. Monotonic seconds; status 0 when nothing did."""

    sent: float
    received: float
    status: int
    text: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Chapter:
    """A version was asked for, which answers this."""

    asked: float
    text: str


def first_answers(answers: Sequence[Answer], chapters: Sequence[Chapter]) -> list[float]:
    """When the first answer of each chapter's version was received, once it was asked for; infinity for none.

    An answer of an earlier chapter with the same text that comes late counts too: that makes the check stricter.
    """
    times: dict[str, list[float]] = {}
    for answer in sorted(answers, key=lambda answer: answer.received):
        times.setdefault(answer.text, []).append(answer.received)
    found = []
    for chapter in chapters:
        received = times.get(chapter.text, [])
        at = bisect.bisect_left(received, chapter.asked)
        found.append(received[at] if at < len(received) else float("inf"))
    return found


def wrong_answers(answers: Sequence[Answer], chapters: Sequence[Chapter]) -> list[Answer]:
    """Answers by a version that was not asked for yet, or to a request sent after its successor's first answer."""
    asked = [chapter.asked for chapter in chapters]
    later = first_answers(answers, chapters)[1:]
    ends = [min(later[at:], default=float("inf")) for at in range(len(chapters))]
    return [answer for answer in answers if not _may(answer, chapters, asked, ends)]


def _may(answer: Answer, chapters: Sequence[Chapter], asked: Sequence[float], ends: Sequence[float]) -> bool:
    at = bisect.bisect_right(asked, answer.received) - 1
    while at >= 0 and answer.sent <= ends[at]:
        if chapters[at].text == answer.text:
            return True
        at -= 1
    return False
