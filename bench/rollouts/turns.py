"""Versions that take turns behind one pointer, under a stream of requests: promoted, timed, and all answers checked."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.progress import Progress

from bench.claims import Claims
from bench.rollouts.order import Answer, Chapter, first_answers, wrong_answers
from bench.rollouts.stream import Stream

Point = Callable[[str], object]
"""Promotes a version."""


@dataclass
class Turns:
    """What was promoted, in order; `texts` is what each version answers."""

    stream: Stream
    point: Point
    texts: dict[str, str] = field(default_factory=dict)
    chapters: list[Chapter] = field(default_factory=list)

    def begin(self) -> None:
        """What answers now is the first chapter."""
        self.chapters.append(Chapter(0.0, self.stream.latest().text))

    def learn(self, versions: Sequence[str], seconds: float = 120) -> None:
        """Promote each of them once, to know what it answers; the first one serves already, and has begun."""
        self.texts[versions[0]] = self.chapters[-1].text
        for version in versions[1:]:
            self.to_unknown(version, seconds)

    def to_unknown(self, version: str, seconds: float = 120) -> float:
        """Promote a version of which nobody knows what it answers; seconds to its first answer. Raises TimeoutError."""
        asked = time.monotonic()
        self.point(version)
        answer = self.stream.first(self._is_new, asked, seconds)
        self.texts[version] = answer.text
        self.chapters.append(Chapter(asked, answer.text))
        return answer.received - asked

    def to(self, version: str, seconds: float = 120) -> float:
        """Promote; seconds from the call to the first answer by this version. Raises TimeoutError."""
        asked = self.ask(version)
        return self.answered(version, asked, seconds) - asked

    def ask(self, version: str) -> float:
        """Promote and do not wait; returns when it was asked."""
        asked = time.monotonic()
        self.chapters.append(Chapter(asked, self.texts[version]))
        self.point(version)
        return asked

    def answered(self, version: str, since: float, seconds: float = 120) -> float:
        """When the first answer by this version came since then; waits for it. Raises TimeoutError."""
        return self.stream.first(lambda a: a.text == self.texts[version], since, seconds).received

    def take(self, times: int, seed: int = 1) -> list[float]:
        """So many promotions, each after the last one's first answer and a short pause; the seconds that each took."""
        versions, draw, taken = list(self.texts), random.Random(seed), list[float]()
        at = next(i for i, version in enumerate(versions) if self.texts[version] == self.chapters[-1].text)
        with Progress() as progress:
            for _ in progress.track(range(times), description="promotions"):
                at = (at + 1) % len(versions)
                taken.append(self.to(versions[at]))
                time.sleep(draw.uniform(0.0, 0.4))
        return taken

    def wrong(self) -> list[Answer]:
        """Once the stream has ended: answers by a version that may not have answered."""
        return wrong_answers(self.stream.answers, self.chapters)

    def hold(self, claims: Claims, what: str) -> None:
        """Once the stream has ended: claim that nothing was lost and that all answers are in order."""
        answers, lost, wrong = self.stream.answers, self.stream.lost, self.wrong()
        claims.hold(f"{what}: 0 answers other than 200", f"{lost.total()} of {len(answers)} {dict(lost)}", met=not lost)
        unanswered = sum(at == float("inf") for at in first_answers(answers, self.chapters))
        claim = f"{what}: each answer by the old or the new version, none by the old after the new"
        measured = (
            f"{len(wrong)} of {len(answers)} wrong, {len(self.chapters)} versions in turn, {unanswered} never seen"
        )
        claims.hold(claim, measured, met=not wrong)
        for answer in wrong[:3]:
            claims.tell("a wrong answer", repr(answer))

    def _is_new(self, answer: Answer) -> bool:
        return answer.status == 200 and answer.text not in self.texts.values()
