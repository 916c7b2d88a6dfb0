"""Looks back once answers have gone out: were they right, and is there now evidence to batch?

Now and then an answer of a batch is made again by the stock path; when the two differ, batching ends for this replica,
and the compiled path too where it was to blame. While the proof of batching lacks evidence, real rows are kept for it.
"""

import json
import random
import time
from typing import Dict, List, Sequence, Tuple

from tidegate_worker import rowwise, same, wire
from tidegate_worker.alarm import alarm
from tidegate_worker.batcher import Batcher
from tidegate_worker.coverage import covering
from tidegate_worker.log import log
from tidegate_worker.parser import Parsed
from tidegate_worker.rowwise import Finding, Others, Verdict
from tidegate_worker.waiting import Waiting

# About one batch in so many, and one request by itself in more: a review holds up whoever comes next, and who was alone
# had no neighbours to fear. In at most that share of the time spent predicting, beyond what is granted in seconds.
_EVERY, _EVERY_SINGLE, _SHARE, _GRANT = 64, 512, 0.02, 0.25
# At how many distinct real rows the proof is tried again; for so many seconds. After the last there is no other try.
_TRIES, _TRY_SECONDS = (8, 24, 64), 0.5
# So many covered requests are looked at for distinct rows: callers who always send the same ones have no others.
_LOOKS = 1024

Rows = Dict[str, Tuple[Parsed, bytes]]
"""Distinct rows with their answers."""


class Reviewer:
    """Watches one batcher."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._random = random.Random(2)  # noqa: S311 - not for secrets
        self._batches = 0
        self._seconds = 0.0
        self._evidence: Rows = {}
        self._usual: Rows = {}  # those that are covered, while some are not
        self._looks = 0
        self._gave_up = False  # what is not covered goes alone for good

    def review(self, batch: Sequence[Waiting], answers: Sequence[wire.Answer]) -> None:
        """Look at a batch that was answered."""
        serving = self._batcher.serving
        if batch[0].parsed is None or serving.scorer is None:
            return
        if serving.verdict.thin:
            self._gather(batch[0], answers[0])
        elif serving.verdict.mode == rowwise.PROVED:
            self._batches += 1
            if not self._batcher.admission.all and not self._gave_up:
                self._extend(batch[0], answers[0])
            if self._due(_EVERY if len(batch) > 1 else _EVERY_SINGLE):
                self._sample(batch, answers)

    # samples

    def _due(self, every: int) -> bool:
        number = self._batches
        often = number % every == 0 or number & (number - 1) == 0  # more of the first ones
        return often and self._seconds <= _GRANT + _SHARE * self._batcher.compiled_seconds

    def _sample(self, batch: Sequence[Waiting], answers: Sequence[wire.Answer]) -> None:
        at = self._random.randrange(len(batch))
        if answers[at].outcome != wire.OK:
            return
        began, tolerance = time.perf_counter(), self._batcher.tolerance
        expected = self._batcher.reference(batch[at])
        if not _alike(expected, answers[at], tolerance):
            single = self._batcher.answer([batch[at]])[0]
            if _alike(expected, single, tolerance):
                self._batcher.switch_off("a live request got another answer in its batch than by itself")
            else:
                self._batcher.fall_back("a live request got another answer than by the stock path")
        self._seconds += time.perf_counter() - began

    # evidence

    def _gather(self, waiting: Waiting, answer: wire.Answer) -> None:
        """Keep a real row; try the proof again when enough have come."""
        if self._keep(self._evidence, waiting, answer) and len(self._evidence) in _TRIES:
            self._try(last=len(self._evidence) == _TRIES[-1])

    def _keep(self, rows: "Rows", waiting: Waiting, answer: wire.Answer) -> bool:
        """Keep a request of one row. Whether it is another one than those that are kept."""
        parsed, kept = waiting.parsed, len(rows)
        if answer.outcome != wire.OK or parsed is None or parsed.rows != 1 or parsed.params:
            return False
        rows.setdefault(repr(parsed.data), (parsed, answer.body))
        return len(rows) > kept

    def _try(self, *, last: bool) -> None:
        batcher = self._batcher
        verdict = covering(batcher.model.signature, self._prove(_varied(self._evidence), rowwise.NO_OTHERS))
        if verdict.thin and last:
            verdict = Verdict(rowwise.OFF, f"among {_TRIES[-1]} real rows too: {verdict.reason}")
        batcher.serve(batcher.serving._replace(verdict=verdict))
        if not verdict.thin:
            self._evidence.clear()
            log(f"batching, tried with real rows: {verdict.mode} {verdict.reason}".rstrip())

    def _extend(self, waiting: Waiting, answer: wire.Answer) -> None:
        """Keep rows that are covered, and rows that are not; try whether those bear the company of these."""
        assert waiting.parsed is not None
        if self._batcher.admission.takes(waiting.parsed):
            if len(self._usual) < _TRIES[-1] and self._looks < _LOOKS:
                self._looks += 1
                self._keep(self._usual, waiting, answer)
        elif self._keep(self._evidence, waiting, answer) and len(self._evidence) in _TRIES:
            self._try_beside()
            self._gave_up = self._gave_up or len(self._evidence) == _TRIES[-1]

    def _try_beside(self) -> None:
        batcher = self._batcher
        found = self._prove(_varied(self._usual), Others(texts=[_varied(self._evidence)[: _TRIES[0]]]))
        if found.verdict.mode != rowwise.PROVED:
            if not found.verdict.thin:
                batcher.switch_off(found.verdict.reason)
            return
        if not found.unseen:
            self._gave_up = True
            return
        verdict = covering(batcher.model.signature, found._replace(unseen=None), batcher.serving.verdict)
        batcher.serve(batcher.serving._replace(verdict=verdict))
        self._evidence.clear()
        log(f"batching, tried with real rows: by themselves go {', '.join(verdict.alone) or 'none'}")

    def _prove(self, rows: Sequence[Parsed], others: Others) -> Finding:
        batcher = self._batcher
        assert batcher.serving.scorer is not None
        with alarm(batcher.patience):
            return rowwise.prove(batcher.serving.scorer.score, rows, others, _TRY_SECONDS)


def _varied(rows: "Rows") -> List[Parsed]:
    """One row of each answer first."""
    first = {body: parsed for parsed, body in rows.values()}
    return [*first.values(), *(parsed for parsed, _ in rows.values())]


def _alike(one: wire.Answer, other: wire.Answer, tolerance: float) -> bool:
    if one.outcome != wire.OK or other.outcome != wire.OK:
        return one.outcome == other.outcome
    return same.compare(json.loads(one.body), json.loads(other.body), tolerance).same
