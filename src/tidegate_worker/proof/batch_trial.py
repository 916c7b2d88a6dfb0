"""One trial of a model: predict rows by themselves, then the same rows in batches, and compare their answers.

A trial stops before each prediction, so that a replica can serve requests in between: its methods are generators. It
has a budget of predictions and of seconds. What ends a trial is `TrialFailed`, with the reason.
"""

import random
import time
from itertools import chain, zip_longest
from typing import Any, Callable, Dict, Generator, Iterable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from tidegate_worker.fast.parser import Parsed
from tidegate_worker.fast.scorer import Scored, WrongLength
from tidegate_worker.output import equality
from tidegate_worker.proof.verdict import THIN, TOO_SLOW

# How many distinct rows a proof needs, and how many of them its batches are made of.
MIN_ROWS, ROWS_IN_BATCHES = 8, 12
LARGEST_BATCH = 64  # rows
_MAX_CANDIDATES = 28
MAX_PREDICTIONS, MAX_SECONDS = 240, 2.0
# A slow model is tried with batches that take no longer than this, but with no fewer rows than `MIN_ROWS`.
_MAX_BATCH_SECONDS = 0.5

Score = Callable[[Sequence[Parsed]], Scored]
AnsweredRow = Tuple[Parsed, Any]  # a row, and what the model answered to it by itself
_T = TypeVar("_T")
Steps = Generator[None, None, _T]  # one step for each prediction


class TrialFailed(Exception):
    """The model is not row-wise, or the trial could not find out; the text says why."""


class KindTrial(NamedTuple):
    """The rows of an unusual kind that got their own answers in batches. `all_held` is False where some did not.

    `refuted_columns` are those whose rows got other answers.
    """

    held: List[AnsweredRow]
    refuted_columns: List[int]
    all_held: bool


class BatchTrial:
    """Predicts by `score`, for at most `seconds`. `exact`: no digit has differed so far.

    `largest` is the number of rows in the largest batch: fewer than `LARGEST_BATCH` for a slow model.
    """

    def __init__(self, score: Score, seconds: float) -> None:
        self._score, self._limit, self._seconds_left = score, seconds, seconds
        self._predictions = 0
        self._random = random.Random(1)  # noqa: S311 - not for secrets
        self.exact = True
        self.largest = LARGEST_BATCH
        self._single_seconds: List[float] = []  # of rows that were predicted by themselves

    # by themselves

    def predict_distinct(self, candidates: Iterable[Parsed]) -> "Steps[List[AnsweredRow]]":
        """Distinct rows with their answers, in an order in which answers vary. Raises TrialFailed.

        It takes no more candidates once `MIN_ROWS` are answered, and with at least two different answers.
        """
        answered: List[AnsweredRow] = []
        texts = set()
        for number, candidate in enumerate(candidates):
            if number >= _MAX_CANDIDATES or (len(answered) >= MIN_ROWS and _distinct_answers(answered) > 1):
                break
            if repr(candidate.data) in texts:
                continue
            texts.add(repr(candidate.data))
            scored = yield from self._predict_single(candidate)
            if scored is not None:
                answered.append((candidate, scored.answers[0]))
        self._limit_batches()
        if any(not isinstance(answer, list) or len(answer) != 1 for _, answer in answered):
            raise TrialFailed("the model does not return one item for each row")
        return _varied(answered)

    def predict_each(self, rows: Iterable[Parsed]) -> "Steps[List[AnsweredRow]]":
        """The rows that the model answers, with their answers; it may refuse others. Raises TrialFailed."""
        answered: List[AnsweredRow] = []
        for row in rows:
            scored = yield from self._predict_single(row)
            if scored is not None and isinstance(scored.answers[0], list) and len(scored.answers[0]) == 1:
                answered.append((row, scored.answers[0]))
        self._limit_batches()
        return answered

    def _predict_single(self, row: Parsed) -> "Steps[Optional[Scored]]":
        before = self._seconds_left
        try:
            scored = yield from self._predict([row])
        except (TrialFailed, GeneratorExit):
            raise
        except BaseException:  # the model refuses the row
            return None
        self._single_seconds.append(before - self._seconds_left)
        return scored

    def _limit_batches(self) -> None:
        """Fewer rows in a batch where most of the rows were slow by themselves. One that was held up limits nothing."""
        seconds, self._single_seconds = sorted(self._single_seconds), []
        if seconds:
            usual = max(1e-6, seconds[len(seconds) // 2])
            self.largest = min(self.largest, max(MIN_ROWS, int(_MAX_BATCH_SECONDS / usual)))

    # in batches

    def check_batches(self, rows: List[AnsweredRow]) -> "Steps[None]":
        """Predict rows of one kind in batches of every shape, and some of them by themselves. Raises TrialFailed."""
        rows = rows[:ROWS_IN_BATCHES]
        yield from self._check_repeatable(rows[:2])
        for batch in self._batches(rows) if rows else ():
            yield from self._check_batch(batch)
        yield from self._check_repeatable(rows[-2:])

    def check_beside(self, usual: List[AnsweredRow], rows: List[AnsweredRow]) -> "Steps[None]":
        """Predict rows of another kind in batches with usual ones. Raises TrialFailed."""
        if not rows:
            return
        for row in rows:
            neighbour = self._random.choice(usual)
            yield from self._check_batch([row, neighbour])
            yield from self._check_batch([neighbour, row, row])
        mixed = [*usual, *rows]
        yield from self._check_batch(mixed)
        yield from self._check_batch(mixed[::-1])
        yield from self._check_batch(self._random.sample(mixed, min(7, len(mixed))))
        yield from self._check_batch((mixed[::-1] * LARGEST_BATCH)[: self.largest])

    def try_kind(
        self,
        usual: List[AnsweredRow],
        groups: Sequence[Sequence[Parsed]],
        column_of: Callable[[List[AnsweredRow]], Optional[int]] = lambda _group: None,
    ) -> "Steps[KindTrial]":
        """Which rows of an unusual kind get their own answers beside usual ones. Never raises TrialFailed.

        All groups are tried together first. If that fails, each group is tried that concerns one column only, as
        `column_of` says.
        """
        try:
            answered: List[List[AnsweredRow]] = []
            for group in groups:
                rows = yield from self.predict_each(group)
                answered.append(rows)
            together = list(chain.from_iterable(answered))
            if (yield from self._holds_beside(usual, together)):
                return KindTrial(together, [], True)
            held: List[AnsweredRow] = []
            refuted: List[int] = []
            for rows in answered:
                column = column_of(rows)
                if column is not None and (yield from self._holds_beside(usual, rows)):
                    held += rows
                elif column is not None:
                    refuted.append(column)
            return KindTrial(held, refuted, False)
        except TrialFailed:  # the budget is spent
            return KindTrial([], [], True)

    def _holds_beside(self, usual: List[AnsweredRow], rows: List[AnsweredRow]) -> "Steps[bool]":
        exact = self.exact
        try:
            yield from self.check_beside(usual, rows)
        except TrialFailed:
            self.exact = exact  # these rows will not be in a batch
            if self._is_spent:
                raise
            return False
        return True

    def _batches(self, rows: List[AnsweredRow]) -> Iterable[List[AnsweredRow]]:
        yield rows
        yield rows[::-1]
        for size in (2, 2, 3, 5, 7, len(rows)):
            yield self._random.sample(rows, min(size, len(rows)))
        yield [*rows, *rows[:3]]
        yield [rows[0], rows[0]]
        yield (rows * LARGEST_BATCH)[: self.largest]

    # comparisons

    def _check_repeatable(self, rows: List[AnsweredRow]) -> "Steps[None]":
        for row, answer in rows:
            scored = yield from self._predict_single(row)
            if scored is None or not self._same_answer(answer, scored.answers[0], scored.tolerance):
                raise TrialFailed("the model gives different answers to the same row")

    def _check_batch(self, batch: List[AnsweredRow]) -> "Steps[None]":
        try:
            scored = yield from self._predict([row for row, _ in batch])
        except (TrialFailed, GeneratorExit):
            raise
        except WrongLength:
            raise TrialFailed("the model does not return one item for each row") from None
        except BaseException as error:
            raise TrialFailed(f"the model fails on several rows together ({type(error).__name__})") from None
        for (_, single), batched in zip(batch, scored.answers):
            if not self._same_answer(single, batched, scored.tolerance):
                raise TrialFailed("a row's answer depends on the other rows of its batch")

    def _same_answer(self, single: Any, other: Any, tolerance: float) -> bool:
        comparison = equality.compare(single, other, tolerance)
        self.exact = self.exact and comparison.exact
        return comparison.same

    @property
    def _is_spent(self) -> bool:
        return self._predictions > MAX_PREDICTIONS or self._seconds_left <= 0

    def _predict(self, rows: Sequence[Parsed]) -> "Steps[Scored]":
        self._predictions += 1
        if self._is_spent:
            raise TrialFailed(f"{THIN}: {TOO_SLOW} in {self._limit:g} s")
        yield
        began = time.perf_counter()
        try:
            return self._score(rows)
        finally:
            self._seconds_left -= time.perf_counter() - began


def check_evidence(answered: List[AnsweredRow]) -> None:
    """Raises TrialFailed where the rows are too few, or their answers too much alike, to prove anything."""
    if len(answered) < MIN_ROWS:
        count = len(answered)
        raise TrialFailed(f"{THIN}: the model answered {count} of the rows that were tried, and {MIN_ROWS} are needed")
    if _distinct_answers(answered) < 2:
        raise TrialFailed(f"{THIN}: the model gave all rows that were tried the same answer")


def _varied(answered: List[AnsweredRow]) -> List[AnsweredRow]:
    """The rows in turns, one of each answer, so that the first few differ as much as they can."""
    by_answer: Dict[str, List[AnsweredRow]] = {}
    for row in answered:
        by_answer.setdefault(repr(row[1]), []).append(row)
    turns = zip_longest(*by_answer.values())
    return [row for turn in turns for row in turn if row is not None]


def _distinct_answers(answered: List[AnsweredRow]) -> int:
    return len({repr(answer) for _, answer in answered})
