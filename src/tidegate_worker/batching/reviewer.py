"""Looks back once answers have gone out: were they right, and do real rows now prove more than was proved?

Answers of batches are made again singly: each kind of row in its first batches, then now and then. When the two differ,
batching ends for that kind of row, or altogether. Real rows of which the proof does not know are kept, and the model is
tried with them between two requests: nobody gets an answer that was made in a trial.
"""

import json
import random
import time
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence

from tidegate_worker.batching.arrivals import QueuedRequest
from tidegate_worker.batching.batched_kinds import BatchedKinds, unusual_kinds
from tidegate_worker.batching.batcher import Batcher
from tidegate_worker.fast.parser import Parsed
from tidegate_worker.fast.scorer import Scored
from tidegate_worker.ipc import wire
from tidegate_worker.output import equality
from tidegate_worker.process.log import log, log_exception
from tidegate_worker.process.time_limit import alarm
from tidegate_worker.proof import coverage, refutations, row_wise
from tidegate_worker.proof.real_rows import MOST_BYTES, ByKind, Rows
from tidegate_worker.proof.refutations import Refutation, Refutations
from tidegate_worker.proof.row_wise import Finding, Kind, Steps, Verdict

# Looks hold up whoever comes next: they take this share of the time spent predicting, beyond the first seconds. One in
# so many asks the stock path. Of requests that were alone, one in so many is looked at: it had no neighbours to fear.
_SHARE, _GRANT, _STOCK_EVERY, _EVERY_SINGLE = 0.02, 0.25, 8, 512
# While a model waits for its first proof, trials take more. One goes on for no longer than this between two batches.
_TRIAL_SHARE, _SLICE = 0.25, 0.002
# At how many distinct real rows the first proof is tried; beyond the last, at each that has another answer.
_TRIES, _TRY_SECONDS = (8, 24, 64), 20.0
# Callers choose their params.
_MOST_PARAMS = 8
# So many covered requests are looked at for distinct rows: callers who always send the same ones have no others.
_LOOKS = 1024


class _Job(NamedTuple):
    """A trial under way."""

    steps: "Steps[Finding]"
    done: Callable[[Finding], None]
    share: float


class Reviewer:
    """Watches one batcher."""

    def __init__(self, batcher: Batcher, refutations: Optional[Refutations] = None) -> None:
        self._batcher = batcher
        self._refutations = refutations or Refutations("")
        self._signature = batcher.model.signature
        self._random = random.Random(2)  # noqa: S311 - not for secrets
        self._watch = BatchedKinds(batcher.serving.verdict, self._signature)
        self._singles = 0
        self._look_seconds = self._trial_seconds = 0.0
        self._first: Dict[bytes, Rows] = {}  # for the first proof, by their params
        self._passed_over = 0  # rows with a null, which may wait until others are proved
        self._gave_up: FrozenSet[Kind] = frozenset()  # kinds that were too slow to be tried
        self._usual: Dict[bytes, Rows] = {}  # covered ones, as company for others, by their params
        self._usual_looks = 0
        self._others = ByKind()
        self._jobs: List[_Job] = []

    def listen(self, now: float) -> None:
        """Take in what other replicas have found to be wrong; to be called before each batch."""
        for found in self._refutations.news(now):
            if found.what == refutations.PATH:
                self._batcher.fall_back(found.reason)
            elif found.what == refutations.BATCHING:
                self._batcher.switch_off(found.reason)
            else:
                kinds = frozenset(kind for kind in found.kinds if coverage.is_known(kind, self._signature))
                if not all((kind.what, kind.at) in self._batcher.serving.verdict.refuted for kind in kinds):
                    self._refute(kinds, found.reason)

    def review(self, batch: Sequence[QueuedRequest], answers: Sequence[wire.Answer]) -> None:
        """Look at a batch that was answered. Never raises: what a model makes of it ends batching, and nothing else."""
        try:
            self._review(batch, answers)
        except BaseException as error:
            log_exception("batching: the look back failed", error)
            self._jobs.clear()
            self._batcher.switch_off(f"the look back at what was answered failed ({type(error).__name__})")

    def _review(self, batch: Sequence[QueuedRequest], answers: Sequence[wire.Answer]) -> None:
        serving = self._batcher.serving
        if batch[0].parsed is None or serving.scorer is None:
            return
        if serving.verdict.mode == row_wise.PROVED:
            self._look(batch, answers)
        if self._batcher.serving.verdict.thin:
            self._gather(batch[0], answers[0])
        elif self._batcher.serving.verdict.mode == row_wise.PROVED and not self._batcher.admission.all:
            self._extend(batch[0], answers[0])
        if self._jobs and self._trial_seconds <= _GRANT + self._jobs[0].share * self._batcher.compiled_seconds:
            self.go_on()

    # looks

    def _look(self, batch: Sequence[QueuedRequest], answers: Sequence[wire.Answer]) -> None:
        if len(batch) == 1:
            self._singles += 1
            number = self._singles
            if (number % _EVERY_SINGLE == 0 or number & (number - 1) == 0) and self._affordable:
                self._check_stock(batch, answers, 0)
            return
        due = self._watch.count(batch)
        if not due and self._affordable:
            due = [self._random.randrange(len(batch))]
        for place in due:
            if self._batcher.serving.verdict.mode == row_wise.PROVED and answers[place].outcome == wire.OK:
                self._check(batch, answers, place)
        answered = self._watch.answered
        if len(str(answered)) > len(str(answered - len(batch))):  # at 1,000, 10,000, …
            self._serve(self._batcher.serving.verdict._replace(found_within=self._watch.found_within))

    @property
    def _affordable(self) -> bool:
        return self._look_seconds <= _GRANT + _SHARE * self._batcher.compiled_seconds

    def _check(self, batch: Sequence[QueuedRequest], answers: Sequence[wire.Answer], place: int) -> None:
        began = time.perf_counter()
        self._watch.looked += 1
        if self._watch.looked % _STOCK_EVERY == 0:
            self._check_stock(batch, answers, place)
        elif not self._alike(self._batcher.single(batch[place]), answers[place]):
            self._differs(batch, "by itself")
        else:
            self._look_seconds += time.perf_counter() - began

    def _check_stock(self, batch: Sequence[QueuedRequest], answers: Sequence[wire.Answer], place: int) -> None:
        if answers[place].outcome != wire.OK:
            return
        began, found = time.perf_counter(), answers[place]
        expected = self._batcher.reference(batch[place])
        if not self._alike(expected, found):
            if self._alike(expected, self._batcher.single(batch[place])):
                self._differs(batch, "by itself")
            else:
                reason = "a live request got another answer than by the stock path"
                self._batcher.fall_back(reason)
                self._refutations.add(Refutation(refutations.PATH, reason))
        self._look_seconds += time.perf_counter() - began

    def _alike(self, one: wire.Answer, other: wire.Answer) -> bool:
        if one.outcome != wire.OK or other.outcome != wire.OK:
            return one.outcome == other.outcome
        return equality.compare(json.loads(one.body), json.loads(other.body), self._batcher.tolerance).same

    def _differs(self, batch: Sequence[QueuedRequest], than: str) -> None:
        """End batching for the kinds of row in the batch that are not usual; altogether where there is none."""
        kinds = unusual_kinds([self._watch.kinds(each) for each in batch])
        said = f"a live request got another answer in its batch than {than}"
        if not kinds:
            reason = f"{said}; {self._watch.answered} answers had gone out in batches"
            self._batcher.switch_off(reason)
            self._refutations.add(Refutation(refutations.BATCHING, reason))
            return
        gone = sum(self._watch.gone.get(kind, 0) for kind in kinds)
        names = ", ".join(coverage.named(kind, self._signature.columns) for kind in sorted(kinds, key=str))
        reason = f"rows with {names} are predicted by themselves: {said}; {gone} such answers had gone out in batches"
        self._refute(kinds, reason)
        self._refutations.add(Refutation(refutations.KINDS, reason, kinds))
        log(f"batching: {reason}")

    def _refute(self, kinds: FrozenSet[Kind], reason: str) -> None:
        """Predict rows of these kinds by themselves for good."""
        verdict = self._batcher.serving.verdict
        covered = coverage.without(coverage.of_verdict(self._signature, verdict), kinds, self._watch.base)
        more = [(kind.what, kind.at) for kind in sorted(kinds, key=str)]
        reason = verdict.reason if verdict.thin else reason  # which says that it still waits for its first proof
        verdict = verdict._replace(refuted=tuple(dict.fromkeys([*verdict.refuted, *more])), reason=reason)
        self._serve(coverage.covering(self._signature, verdict, covered))

    # evidence

    def _gather(self, waiting: QueuedRequest, answer: wire.Answer) -> None:
        """Keep a real row; try the first proof once enough have come."""
        parsed, verdict = waiting.parsed, self._batcher.serving.verdict
        if answer.outcome != wire.OK or parsed is None or self._jobs or len(waiting.request.body) > MOST_BYTES:
            return
        kinds = self._batcher.admission.kinds(parsed)
        if self._refuted(kinds):
            return
        if any(kind.what == row_wise.NULL for kind in kinds) and self._passed_over < _TRIES[-1]:
            self._passed_over += 1
            return  # these are tried by themselves, later on, unless there are no others
        if parsed.params not in self._first and len(self._first) >= _MOST_PARAMS:
            self._first.clear()
        rows = self._first.setdefault(parsed.params, Rows(_TRIES[-1]))
        fresh = rows.add(parsed, answer.body)
        if verdict.tried and rows.requests >= _TRIES[0]:
            steps = row_wise.again(self._score, (), rows.varied()[: row_wise.LARGEST], _TRY_SECONDS)
            self._try(steps, lambda found: self._proved(found, rows))
        elif not verdict.tried and fresh and len(rows) in _TRIES:
            steps = row_wise.steps(self._score, rows.varied(), seconds=_TRY_SECONDS)
            self._try(steps, lambda found: self._proved(found, rows))

    def _proved(self, found: Finding, rows: Rows) -> None:
        before, verdict = self._batcher.serving.verdict, found.verdict
        if verdict.mode == row_wise.PROVED:
            covered = coverage.of_verdict(self._signature, before).joined(coverage.of_real(self._signature, found.rows))
            verdict = verdict._replace(by=row_wise.BY_REQUESTS, refuted=before.refuted, tried=before.tried)
            verdict = coverage.covering(self._signature, verdict, covered)
            self._watch = BatchedKinds(verdict, self._signature)
        elif verdict.slow:
            verdict = Verdict(row_wise.OFF, f"with {len(rows)} real rows too: {verdict.reason}")
        elif verdict.thin:
            return  # more rows may tell: many that have one answer are followed by one that has another
        self._serve(verdict)
        log(f"batching, tried with real rows: {verdict.mode} {verdict.reason}".rstrip())

    def _extend(self, waiting: QueuedRequest, answer: wire.Answer) -> None:
        """Keep rows that are covered, and rows that are not; try whether those bear the company of these."""
        parsed = waiting.parsed
        if answer.outcome != wire.OK or parsed is None or self._jobs or len(waiting.request.body) > MOST_BYTES:
            return
        kinds = self._batcher.admission.kinds(parsed)
        if not kinds:
            usual = self._usual.get(parsed.params)
            if usual is None and len(self._usual) < _MOST_PARAMS:
                usual = self._usual[parsed.params] = Rows(_TRIES[0])
            if usual is not None and len(usual) < _TRIES[0] and self._usual_looks < _LOOKS:
                self._usual_looks += 1
                usual.add(parsed, answer.body)
        elif not self._refuted(kinds) and not kinds & self._gave_up:
            rows = self._others.add(parsed, answer.body, kinds)
            if rows is not None:
                self._try_beside(rows)

    def _try_beside(self, rows: Rows) -> None:
        new = rows.varied()[: _TRIES[0]]
        usual = self._usual.get(new[0].params)  # of other kinds of params, none are in the same batch
        company = usual.varied()[: _TRIES[0]] if usual is not None else []
        steps = row_wise.again(self._score, company, new, _TRY_SECONDS)
        self._try(steps, lambda found: self._extended(found, rows.kinds))

    def _extended(self, found: Finding, kinds: FrozenSet[Kind]) -> None:
        verdict = self._batcher.serving.verdict
        if verdict.mode != row_wise.PROVED:
            return
        if found.verdict.mode == row_wise.PROVED:
            covered = coverage.of_verdict(self._signature, verdict)
            covered = covered.joined(coverage.of_real(self._signature, found.rows))
            self._serve(coverage.covering(self._signature, verdict, covered))
            self._watch.renew(kinds)
        elif found.verdict.thin:
            self._gave_up |= kinds
        else:
            names = ", ".join(coverage.named(kind, self._signature.columns) for kind in sorted(kinds, key=str))
            reason = f"rows with {names} are predicted by themselves: {found.verdict.reason}"
            self._refute(kinds, reason)
            self._refutations.add(Refutation(refutations.KINDS, reason, kinds))
        alone = ", ".join(self._batcher.serving.verdict.alone)
        log(f"batching, tried with more real rows: by themselves go {alone or 'none'}")

    def _refuted(self, kinds: FrozenSet[Kind]) -> bool:
        return any((kind.what, kind.at) in self._batcher.serving.verdict.refuted for kind in kinds)

    # trials

    def _try(self, steps: "Steps[Finding]", done: Callable[[Finding], None]) -> None:
        thin = self._batcher.serving.verdict.thin
        self._jobs.append(_Job(steps, done, _TRIAL_SHARE if thin else _SHARE))

    def go_on(self, seconds: float = _SLICE) -> None:
        """Go on with a trial, for no longer than it may hold up who comes next."""
        if self._batcher.serving.scorer is None:
            self._jobs.clear()
        if not self._jobs:
            return
        job, began = self._jobs[0], time.perf_counter()
        try:
            with alarm(self._batcher.patience):
                while time.perf_counter() - began < seconds:
                    next(job.steps)
        except StopIteration as end:
            self._jobs.clear()
            job.done(end.value)
        self._trial_seconds += time.perf_counter() - began

    def _score(self, rows: Sequence[Parsed]) -> Scored:
        assert self._batcher.serving.scorer is not None
        began = time.perf_counter()
        scored = self._batcher.serving.scorer.score(rows)
        self._batcher.learn(len(rows), time.perf_counter() - began)
        return scored

    def _serve(self, verdict: Verdict) -> None:
        self._batcher.serve(self._batcher.serving._replace(verdict=verdict))
