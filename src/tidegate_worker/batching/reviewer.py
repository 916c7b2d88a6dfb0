"""The work on batching that follows an answer: live checks of what has gone out, and proofs from real rows.

- **Checks.** Some answers of batches are predicted again, by themselves and by the stock path. The first
  difference ends batching for the unusual kinds of rows in that batch, or altogether. If the compiled path was wrong,
  it ends that path.
- **Proofs.** Real rows are gathered: for the first proof while there is none, and later for kinds that are not covered.
  Once there are enough, the model is tried with them, in slices between two batches.

Both delay later requests, so each has a share of the time spent predicting. The file exceeds 300 lines, as checks and
proofs change the same verdict and count the same batches.
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
from tidegate_worker.proof.batch_trial import LARGEST_BATCH, Steps
from tidegate_worker.proof.kinds import NULL, Kind, belongs_to, describe
from tidegate_worker.proof.real_rows import MAX_BODY_BYTES, RealRows, RowsByKind
from tidegate_worker.proof.refutations import Refutation, Refutations
from tidegate_worker.proof.row_wise import Finding
from tidegate_worker.proof.verdict import BY_REQUESTS, OFF, PROVED, Verdict

# Checks may take the free seconds, then this share of the time spent predicting. One check in 8 asks the stock path.
_SHARE, _FREE_SECONDS, _STOCK_CHECK_EVERY = 0.02, 0.25, 8
# A request that was alone had no neighbours to fear: one in this many is checked.
_SINGLE_CHECK_EVERY = 512
# Trials have a larger share while the model waits for its first proof.
_FIRST_PROOF_SHARE = 0.25
# A slice of a trial between two batches takes at most this many seconds.
_SLICE_SECONDS = 0.002
# The first proof is tried at these numbers of distinct real rows; beyond the last, at each row with a new answer.
_TRY_AT_ROWS, _TRY_SECONDS = (8, 24, 64), 20.0
# Rows are kept apart by their params, for at most this many params: callers choose them.
_MAX_PARAMS = 8
# This many covered requests are searched for distinct rows: callers who always send the same row have no others.
_MAX_COVERED_SEEN = 1024


class _Trial(NamedTuple):
    """A trial that goes on between batches. `share` is its part of the time spent predicting."""

    steps: "Steps[Finding]"
    done: Callable[[Finding], None]
    share: float


class Reviewer:
    """Reviews the batches of one batcher. `refutations` are shared with the revision's other replicas."""

    def __init__(self, batcher: Batcher, refutations: Optional[Refutations] = None) -> None:
        self._batcher = batcher
        self._refutations = refutations or Refutations("")
        self._signature = batcher.model.signature
        self._random = random.Random(2)  # noqa: S311 - not for secrets
        self._batched = BatchedKinds(batcher.serving.verdict, self._signature)
        self._singles = 0
        self._check_seconds = self._trial_seconds = 0.0
        self._rows_before_proof: Dict[bytes, RealRows] = {}  # by params
        self._null_rows_skipped = 0  # rows with a null may wait until others are proved
        self._too_slow: FrozenSet[Kind] = frozenset()  # kinds whose trial took too long: they are not tried again
        self._covered_rows: Dict[bytes, RealRows] = {}  # by params: the company in which other rows are tried
        self._covered_seen = 0
        self._uncovered_rows = RowsByKind()
        self._trials: List[_Trial] = []

    def apply_refutations(self, now: float) -> None:
        """Stop what other replicas have found to be wrong. It is called before each batch."""
        for refutation in self._refutations.read_new(now):
            if refutation.what == refutations.PATH:
                self._batcher.fall_back_to_stock(refutation.reason)
            elif refutation.what == refutations.BATCHING:
                self._batcher.switch_batching_off(refutation.reason)
            else:
                kinds = frozenset(kind for kind in refutation.kinds if belongs_to(self._signature, kind))
                if not all((kind.what, kind.at) in self._batcher.serving.verdict.refuted for kind in kinds):
                    self._refute(kinds, refutation.reason)

    def review(self, batch: Sequence[QueuedRequest], answers: Sequence[wire.Answer]) -> None:
        """Review a batch whose answers have gone out. Never raises: a fault of the model here ends batching only."""
        try:
            self._review(batch, answers)
        except BaseException as error:
            log_exception("batching: the review of a batch failed", error)
            self._trials.clear()
            self._batcher.switch_batching_off(f"the review of a batch failed ({type(error).__name__})")

    def _review(self, batch: Sequence[QueuedRequest], answers: Sequence[wire.Answer]) -> None:
        serving = self._batcher.serving
        if batch[0].parsed is None or serving.scorer is None:
            return
        if serving.verdict.mode == PROVED:
            self._check_some(batch, answers)
        if self._batcher.serving.verdict.thin:
            self._gather_for_first_proof(batch[0], answers[0])
        elif self._batcher.serving.verdict.mode == PROVED and not self._batcher.admission.all:
            self._gather_uncovered(batch[0], answers[0])
        if self._trials and (
            self._trial_seconds <= _FREE_SECONDS + self._trials[0].share * self._batcher.compiled_seconds
        ):
            self.continue_trial()

    # checks

    def _check_some(self, batch: Sequence[QueuedRequest], answers: Sequence[wire.Answer]) -> None:
        if len(batch) == 1:
            self._singles += 1
            number = self._singles
            if (number % _SINGLE_CHECK_EVERY == 0 or number & (number - 1) == 0) and self._may_check:
                self._check_by_stock_path(batch, answers, 0)
            return
        due = self._batched.count(batch)
        if not due and self._may_check:
            due = [self._random.randrange(len(batch))]
        for place in due:
            if self._batcher.serving.verdict.mode == PROVED and answers[place].outcome == wire.OK:
                self._check(batch, answers, place)
        answered = self._batched.answered
        if len(str(answered)) > len(str(answered - len(batch))):  # at 1,000, 10,000, …
            self._serve(self._batcher.serving.verdict._replace(found_within=self._batched.found_within))

    @property
    def _may_check(self) -> bool:
        return self._check_seconds <= _FREE_SECONDS + _SHARE * self._batcher.compiled_seconds

    def _check(self, batch: Sequence[QueuedRequest], answers: Sequence[wire.Answer], place: int) -> None:
        began = time.perf_counter()
        self._batched.checked += 1
        if self._batched.checked % _STOCK_CHECK_EVERY == 0:
            self._check_by_stock_path(batch, answers, place)
        elif not self._same_answer(self._batcher.answer_alone(batch[place]), answers[place]):
            self._end_batching_of(batch)
        else:
            self._check_seconds += time.perf_counter() - began

    def _check_by_stock_path(self, batch: Sequence[QueuedRequest], answers: Sequence[wire.Answer], place: int) -> None:
        if answers[place].outcome != wire.OK:
            return
        began = time.perf_counter()
        expected = self._batcher.answer_by_stock_path(batch[place])
        if not self._same_answer(expected, answers[place]):
            if self._same_answer(expected, self._batcher.answer_alone(batch[place])):
                self._end_batching_of(batch)
            else:
                reason = "a live request got another answer than by the stock path"
                self._batcher.fall_back_to_stock(reason)
                self._refutations.publish(Refutation(refutations.PATH, reason))
        self._check_seconds += time.perf_counter() - began

    def _same_answer(self, expected: wire.Answer, answer: wire.Answer) -> bool:
        if expected.outcome != wire.OK or answer.outcome != wire.OK:
            return expected.outcome == answer.outcome
        return equality.compare(json.loads(expected.body), json.loads(answer.body), self._batcher.tolerance).same

    def _end_batching_of(self, batch: Sequence[QueuedRequest]) -> None:
        """End batching for the unusual kinds of rows in the batch; altogether if it has usual ones only."""
        kinds = unusual_kinds([self._batched.kinds(each) for each in batch])
        difference = "a live request got another answer in its batch than by itself"
        if not kinds:
            reason = f"{difference}; {self._batched.answered} answers had gone out in batches"
            self._batcher.switch_batching_off(reason)
            self._refutations.publish(Refutation(refutations.BATCHING, reason))
            return
        count = sum(self._batched.answers.get(kind, 0) for kind in kinds)
        reason = (
            f"rows with {self._described(kinds)} are predicted by themselves: {difference}; "
            f"{count} such answers had gone out in batches"
        )
        self._refute(kinds, reason)
        self._refutations.publish(Refutation(refutations.KINDS, reason, kinds))
        log(f"batching: {reason}")

    def _refute(self, kinds: FrozenSet[Kind], reason: str) -> None:
        """Predict rows of these kinds by themselves for good."""
        verdict = self._batcher.serving.verdict
        covered = coverage.without_kinds(coverage.of_verdict(self._signature, verdict), kinds, self._batched.base)
        refuted = [*verdict.refuted, *((kind.what, kind.at) for kind in sorted(kinds, key=str))]
        reason = verdict.reason if verdict.thin else reason  # a thin verdict's reason says that the first proof is due
        verdict = verdict._replace(refuted=tuple(dict.fromkeys(refuted)), reason=reason)
        self._serve(coverage.apply_to(verdict, self._signature, covered))

    def _described(self, kinds: FrozenSet[Kind]) -> str:
        return ", ".join(describe(kind, self._signature.columns) for kind in sorted(kinds, key=str))

    # proofs

    def _gather_for_first_proof(self, waiting: QueuedRequest, answer: wire.Answer) -> None:
        """Keep a real row. Begin a trial once there are enough."""
        parsed, verdict = waiting.parsed, self._batcher.serving.verdict
        if answer.outcome != wire.OK or parsed is None or self._trials or len(waiting.request.body) > MAX_BODY_BYTES:
            return
        kinds = self._batcher.admission.kinds(parsed)
        if self._is_refuted(kinds):
            return
        if any(kind.what == NULL for kind in kinds) and self._null_rows_skipped < _TRY_AT_ROWS[-1]:
            self._null_rows_skipped += 1
            return  # nulls are tried by themselves after the first proof, unless callers send no other rows
        if parsed.params not in self._rows_before_proof and len(self._rows_before_proof) >= _MAX_PARAMS:
            self._rows_before_proof.clear()
        rows = self._rows_before_proof.setdefault(parsed.params, RealRows(_TRY_AT_ROWS[-1]))
        kept = rows.add(parsed, answer.body)
        if verdict.tried and rows.requests >= _TRY_AT_ROWS[0]:
            steps = row_wise.prove_beside(self._score, (), rows.varied()[:LARGEST_BATCH], _TRY_SECONDS)
            self._begin_trial(steps, lambda finding: self._end_first_proof(finding, rows))
        elif not verdict.tried and kept and len(rows) in _TRY_AT_ROWS:
            steps = row_wise.prove_in_steps(self._score, rows.varied(), seconds=_TRY_SECONDS)
            self._begin_trial(steps, lambda finding: self._end_first_proof(finding, rows))

    def _end_first_proof(self, finding: Finding, rows: RealRows) -> None:
        before, verdict = self._batcher.serving.verdict, finding.verdict
        if verdict.mode == PROVED:
            covered = coverage.of_verdict(self._signature, before).union(
                coverage.of_real(self._signature, finding.rows)
            )
            verdict = verdict._replace(by=BY_REQUESTS, refuted=before.refuted, tried=before.tried)
            verdict = coverage.apply_to(verdict, self._signature, covered)
            self._batched = BatchedKinds(verdict, self._signature)
        elif verdict.slow:
            verdict = Verdict(OFF, f"with {len(rows)} real rows too: {verdict.reason}")
        elif verdict.thin:
            return  # more rows may tell: after many with one answer there may be one with another
        self._serve(verdict)
        log(f"batching, tried with real rows: {verdict.mode} {verdict.reason}".rstrip())

    def _gather_uncovered(self, waiting: QueuedRequest, answer: wire.Answer) -> None:
        """Keep a covered row as company, and a row that is not covered. Try the latter once there are enough."""
        parsed = waiting.parsed
        if answer.outcome != wire.OK or parsed is None or self._trials or len(waiting.request.body) > MAX_BODY_BYTES:
            return
        kinds = self._batcher.admission.kinds(parsed)
        if not kinds:
            covered = self._covered_rows.get(parsed.params)
            if covered is None and len(self._covered_rows) < _MAX_PARAMS:
                covered = self._covered_rows[parsed.params] = RealRows(_TRY_AT_ROWS[0])
            if covered is not None and len(covered) < _TRY_AT_ROWS[0] and self._covered_seen < _MAX_COVERED_SEEN:
                self._covered_seen += 1
                covered.add(parsed, answer.body)
        elif not self._is_refuted(kinds) and not kinds & self._too_slow:
            rows = self._uncovered_rows.add(parsed, answer.body, kinds)
            if rows is not None:
                self._try_uncovered(rows)

    def _try_uncovered(self, rows: RealRows) -> None:
        tried = rows.varied()[: _TRY_AT_ROWS[0]]
        covered = self._covered_rows.get(tried[0].params)  # a batch has rows of the same params only
        company = covered.varied()[: _TRY_AT_ROWS[0]] if covered is not None else []
        steps = row_wise.prove_beside(self._score, company, tried, _TRY_SECONDS)
        self._begin_trial(steps, lambda finding: self._end_uncovered(finding, rows.kinds))

    def _end_uncovered(self, finding: Finding, kinds: FrozenSet[Kind]) -> None:
        verdict = self._batcher.serving.verdict
        if verdict.mode != PROVED:
            return
        if finding.verdict.mode == PROVED:
            real = coverage.of_real(self._signature, finding.rows)
            self._serve(
                coverage.apply_to(verdict, self._signature, coverage.of_verdict(self._signature, verdict).union(real))
            )
            self._batched.check_again(kinds)
        elif finding.verdict.thin:
            self._too_slow |= kinds
        else:
            reason = f"rows with {self._described(kinds)} are predicted by themselves: {finding.verdict.reason}"
            self._refute(kinds, reason)
            self._refutations.publish(Refutation(refutations.KINDS, reason, kinds))
        alone = ", ".join(self._batcher.serving.verdict.alone)
        log(f"batching, tried with more real rows: predicted by themselves are {alone or 'none'}")

    def _is_refuted(self, kinds: FrozenSet[Kind]) -> bool:
        return any((kind.what, kind.at) in self._batcher.serving.verdict.refuted for kind in kinds)

    # trials

    def _begin_trial(self, steps: "Steps[Finding]", done: Callable[[Finding], None]) -> None:
        thin = self._batcher.serving.verdict.thin
        self._trials.append(_Trial(steps, done, _FIRST_PROOF_SHARE if thin else _SHARE))

    def continue_trial(self, seconds: float = _SLICE_SECONDS) -> None:
        """Run a slice of the trial: the steps that begin within `seconds`."""
        if self._batcher.serving.scorer is None:
            self._trials.clear()
        if not self._trials:
            return
        trial, began = self._trials[0], time.perf_counter()
        try:
            with alarm(self._batcher.max_seconds):
                while time.perf_counter() - began < seconds:
                    next(trial.steps)
        except StopIteration as end:
            self._trials.clear()
            trial.done(end.value)
        self._trial_seconds += time.perf_counter() - began

    def _score(self, rows: Sequence[Parsed]) -> Scored:
        assert self._batcher.serving.scorer is not None
        began = time.perf_counter()
        scored = self._batcher.serving.scorer.score(rows)
        self._batcher.learn_cost(len(rows), time.perf_counter() - began)
        return scored

    def _serve(self, verdict: Verdict) -> None:
        self._batcher.serve(self._batcher.serving._replace(verdict=verdict))
