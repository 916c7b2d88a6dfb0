"""Twelve sabotaged versions, each promoted under real requests: held back by the gate, and nobody notices.

Under `strict` all are; under `safe` the one passes that changes answers and nothing else.
"""

import argparse
import bisect
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.e2e.running_platform import until

from bench.claims import Claims
from bench.rollouts import saboteurs
from bench.rollouts.house import House, rollout_house
from bench.rollouts.order import Answer
from bench.rollouts.saboteurs import CHANGES_ANSWERS_ONLY, MODEL, SABOTEURS
from bench.rollouts.stream import Stream

NAME, RATE, MODES = "sabotaged", 150.0, ("strict", "safe")
RING = 500  # requests that the gate replays
DECIDED_SECONDS = 120.0
_LIMITS = {"TIDEGATE_ENGINE__START_TIMEOUT_SECONDS": "20"}


@dataclass(frozen=True)
class Verdict:
    """What became of one version. `sentence` is why it was held back, or what was reported of one that passed."""

    does: str
    mode: str
    held: bool
    sentence: str
    began: float
    ended: float  # when the good version was alone again

    @property
    def named(self) -> bool:
        """Whether the sentence names what the version does."""
        return any(word.lower() in self.sentence.lower() for word in SABOTEURS[self.does])


def options(parser: argparse.ArgumentParser) -> None:
    """Which modes and versions, and how many requests a second."""
    parser.add_argument("--modes", nargs="+", default=list(MODES), metavar="MODE")
    parser.add_argument("--only", nargs="+", default=list(SABOTEURS), choices=list(SABOTEURS), metavar="VERSION")
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second")


def run(chosen: argparse.Namespace, claims: Claims) -> None:
    """Judge all of them on a platform of its own."""
    with tempfile.TemporaryDirectory() as folder, rollout_house(environment=_LIMITS) as house:
        trial = Trial(house, Path(folder), chosen.rate)
        for mode in chosen.modes:
            trial.judge(mode, chosen.only, claims)


class Trial:
    """An endpoint that serves the good version, and all versions."""

    def __init__(self, house: House, witnesses: Path, rate: float) -> None:
        self._house, self._witnesses, self._rate = house, witnesses, rate
        self._versions = saboteurs.log_all(house.uri, witnesses)
        self._point = house.alias("champion", MODEL)
        self._point(self._versions["good"])
        house.platform.launch(NAME, MODEL, "@champion")

    def judge(self, mode: str, versions: Sequence[str], claims: Claims) -> None:
        """Promote each of them under requests, and claim what is expected in this mode."""
        policy = {"mode": mode, "max_changed_share": 0.01, "record": True}
        self._house.call("PATCH", f"/api/tidegate/v1/endpoints/{NAME}/gate", policy)
        with Stream(self._house.target(NAME, saboteurs.REQUEST), self._rate) as stream:
            verdicts = [self._promote(does, mode) for does in versions]
        Console(width=200).print(shown(verdicts))
        pass_ = {CHANGES_ANSWERS_ONLY} if mode == "safe" else set()
        held = {verdict.does for verdict in verdicts if verdict.held}
        claim = f"{mode}: of {len(verdicts)} sabotaged versions {len(set(versions) - pass_)} are held back"
        wrong = held ^ (set(versions) - pass_)
        claims.hold(claim, f"{len(held)}, otherwise than expected: {', '.join(sorted(wrong)) or 'none'}", met=not wrong)
        unnamed = [verdict.does for verdict in verdicts if not verdict.named]
        claims.hold(f"{mode}: the reason is named", f"not that of: {', '.join(unnamed) or 'none'}", met=not unnamed)
        self._hold_answers(stream, verdicts, mode, claims)

    def _promote(self, does: str, mode: str) -> Verdict:
        time.sleep(RING / self._rate + 1)  # all that is replayed was answered by the good version
        version, began = self._versions[does], time.monotonic()
        self._point(version)
        until(lambda: self._decided(version), DECIDED_SECONDS)
        state = self._house.platform.get(NAME)["state"]
        held = state["config_update"] == "UPDATE_FAILED"
        sentence = state["message"] if held else self._reported()
        self._point(self._versions["good"])
        self._house.settles(NAME, self._versions["good"])
        return Verdict(does, mode, held, sentence, began, time.monotonic())

    def _decided(self, version: str) -> bool:
        failed = self._house.platform.get(NAME)["state"]["config_update"] == "UPDATE_FAILED"
        return failed or self._house.serving(NAME) == version

    def _reported(self) -> str:
        answer = self._house.call("GET", f"/api/tidegate/v1/endpoints/{NAME}/gate")
        [found] = answer["report"]["served_entities"].values()
        return ", ".join(f"{part}: {json.dumps(found[part])}" for part in ("requests", "answers", "latency", "memory"))

    def _hold_answers(self, stream: Stream, verdicts: Sequence[Verdict], mode: str, claims: Claims) -> None:
        lost = stream.lost
        claims.hold(f"{mode}: 0 requests lost", f"{lost.total()} of {len(stream.answers)} {dict(lost)}", met=not lost)
        passed = [verdict for verdict in verdicts if not verdict.held]
        answers = [a for a in stream.answers if not any(v.began <= a.received and a.sent <= v.ended for v in passed)]
        other = [a for a in answers if a.status == 200 and a.text != saboteurs.expected(a.number)]
        files = [saboteurs.witness(self._witnesses, verdict.does) for verdict in verdicts if verdict.held]
        theirs = [answer for file in files if file.exists() for answer in answered_by(file.read_text(), answers)]
        measured = f"{len(theirs)} of {len(answers)} predicted by one, {len(other)} with an answer of another"
        claims.hold(f"{mode}: none answered by a version that was held back", measured, met=not theirs and not other)
        for answer in [*other[:3], *theirs[:3]]:
            claims.tell("such an answer", repr(answer))


def answered_by(testimony: str, answers: Sequence[Answer]) -> list[Answer]:
    """The requests that a version predicted between their sending and their answer; a replay comes after that."""
    predicted = sorted((int(x), float(at)) for at, x in (line.split() for line in testimony.splitlines()))
    return [answer for answer in answers if _between(predicted, answer)]


def _between(predicted: Sequence[tuple[int, float]], answer: Answer) -> bool:
    at = bisect.bisect_left(predicted, (answer.number, answer.sent))
    return at < len(predicted) and predicted[at] <= (answer.number, answer.received)


def shown(verdicts: Sequence[Verdict]) -> Table:
    """Each version, and what the platform says of it."""
    table = Table("version", "mode", "held back", "seconds", "by what sentence, or what was reported", show_lines=True)
    for verdict in verdicts:
        seconds = f"{verdict.ended - verdict.began:.1f}"
        table.add_row(verdict.does, verdict.mode, "yes" if verdict.held else "no", seconds, verdict.sentence[:600])
    return table
