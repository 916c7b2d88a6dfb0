"""The proof that a model predicts each row by itself: only then may requests of different callers share a batch.

1. At least `MIN_ROWS` distinct rows, with at least two different answers, are predicted by themselves.
2. The same rows are predicted all together, in other orders, in pairs and small groups, twice in one batch, and in a
   batch of `LARGEST_BATCH`. Each row must get its own answer each time, but for the last digits of floats.
3. Unusual rows, with nulls and with unseen texts, are predicted beside them. Kinds that the model refuses, or answers
   otherwise in a batch, are not covered: rows of these kinds are predicted by themselves.

The predictions are those of a `BatchTrial`; this file decides what follows from them.
"""

from itertools import chain
from typing import Iterable, List, NamedTuple, Optional, Sequence, TypeVar

from tidegate_worker.fast.parser import Parsed
from tidegate_worker.proof.batch_trial import (
    MAX_SECONDS,
    ROWS_IN_BATCHES,
    AnsweredRow,
    BatchTrial,
    Score,
    Steps,
    TrialFailed,
    check_evidence,
)
from tidegate_worker.proof.verdict import OFF, PROVED, THIN, Verdict

# So many unseen texts of a column stand for any others, where texts are made up.
_MIN_TEXTS = 4
_T = TypeVar("_T")


class Finding(NamedTuple):
    """A verdict, and the rows that it rests on. `unseen`: rows with unseen texts are among them.

    `refuted_nulls` are columns where a null changes the answers of a batch. `refuted_texts`: unseen texts change them.
    """

    verdict: Verdict
    rows: Sequence[Parsed] = ()
    unseen: bool = False
    refuted_nulls: Sequence[int] = ()
    refuted_texts: bool = False


class UnusualRows(NamedTuple):
    """Rows unlike the candidates, in groups that are tried together.

    If a batch changes the answers of rows in `numbers`, the model is not row-wise. If it changes those of rows in
    `texts` or `nulls`, rows like them are not covered.
    """

    numbers: Sequence[Sequence[Parsed]] = ()
    texts: Sequence[Sequence[Parsed]] = ()
    nulls: Sequence[Sequence[Parsed]] = ()


_NONE_UNUSUAL = UnusualRows()


def prove(
    score: Score, candidates: Iterable[Parsed], unusual: UnusualRows = _NONE_UNUSUAL, seconds: float = MAX_SECONDS
) -> Finding:
    """Try the model with rows out of `candidates`, then with `unusual` rows beside them, for at most `seconds`."""
    return run_to_end(prove_in_steps(score, candidates, unusual, seconds))


def run_to_end(steps: "Steps[_T]") -> _T:
    """Run all steps of a proof. Returns what it found."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        result: _T = end.value
        return result


def prove_in_steps(
    score: Score, candidates: Iterable[Parsed], unusual: UnusualRows = _NONE_UNUSUAL, seconds: float = MAX_SECONDS
) -> "Steps[Finding]":
    """`prove`, one prediction at a time."""
    trial = BatchTrial(score, seconds)
    try:
        answered = yield from trial.predict_distinct(candidates)
        yield from trial.check_batches(answered)
        check_evidence(answered)
        usual = answered[:ROWS_IN_BATCHES]
        numbers = yield from trial.predict_each(chain.from_iterable(unusual.numbers))
        yield from trial.check_beside(usual, numbers)
    except TrialFailed as failed:
        return Finding(Verdict(OFF, str(failed)))
    texts = yield from trial.try_kind(usual, unusual.texts)
    nulls = yield from trial.try_kind(usual, unusual.nulls, column_of=_null_column)
    rows = [row for row, _ in [*usual, *numbers, *texts.held, *nulls.held]]
    verdict = Verdict(PROVED, exact=trial.exact, rows=trial.largest)
    unseen = len(texts.held) >= _MIN_TEXTS
    return Finding(verdict, rows, unseen, nulls.refuted_columns, not texts.all_held)


def prove_beside(
    score: Score, usual: Sequence[Parsed], rows: Sequence[Parsed], seconds: float = MAX_SECONDS
) -> "Steps[Finding]":
    """Whether rows of a new kind keep their answers beside usual ones and beside each other, in steps.

    Few rows are enough here, as others were proved before.
    """
    trial = BatchTrial(score, seconds)
    try:
        answered_usual = yield from trial.predict_each(usual)
        answered = yield from trial.predict_each(rows)
        if not answered:
            raise TrialFailed(f"{THIN}: the model refused the rows")
        yield from trial.check_batches(answered)
        yield from trial.check_beside(answered_usual or answered, answered)
    except TrialFailed as failed:
        return Finding(Verdict(OFF, str(failed)))
    return Finding(Verdict(PROVED, exact=trial.exact, rows=trial.largest), [row for row, _ in answered])


def _null_column(pair: List[AnsweredRow]) -> Optional[int]:
    """The one column in which the first row has a null and the second, which is else the same, has none."""
    if len(pair) != 2:
        return None
    (with_null, _), (without, _) = pair
    values = enumerate(zip(with_null.data[0], without.data[0]))
    columns = [at for at, (first, second) in values if first is None and second is not None]
    return columns[0] if len(columns) == 1 else None
