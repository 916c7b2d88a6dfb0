"""The proof that a model predicts each row by itself: only then may requests of different callers go together.

At least `ROWS` distinct rows that have at least two different answers singly are predicted singly, all together, in
other orders, in pairs and small groups, twice in one batch, and in a batch of `LARGEST`. Every row must get its own
answer every time: exactly, but for the last digits of floats (see `same`). Then rows of other kinds, with nulls and
with unseen texts, are tried beside them; what the model refuses, or answers otherwise in company, is not covered.

A proof is a generator that stops before each prediction, so that others can be served in between.
"""

import random
import time
from itertools import chain, zip_longest
from typing import Any, Callable, Dict, Generator, Iterable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from tidegate_worker.fast.parser import Parsed
from tidegate_worker.fast.scorer import OtherLength, Scored
from tidegate_worker.output import equality

ROWS = 8
LARGEST = 64
_MOST_SINGLES = 28
_KEPT = 12
MOST_PREDICTS = 240
# So many different texts of a column stand for any others, where they are made up.
FEW_TEXTS = 4
MOST_SECONDS = 2.0
# A batch of a slow model is tried with as many rows as take so long, but with no fewer than `ROWS`.
_LONGEST = 0.5

PROVED, OFF, ON = "proved", "off", "on"
THIN, TOO_SLOW = "not enough evidence", "the model is too slow to be tried"
# What a proof rests on: a known type of estimator and rows that were made up, or what callers have sent.
BY_TYPE, BY_REQUESTS = "estimator type", "real requests"

Score = Callable[[Sequence[Parsed]], Scored]
_T = TypeVar("_T")
Steps = Generator[None, None, _T]

# What can be unusual in a row; `Kind.at` is the column, and of params their digest.
NULL, TEXT, NUMBER, PARAMS, USUAL = "null", "text", "number", "params", "usual"


class Kind(NamedTuple):
    """A kind of row."""

    what: str
    at: Any = 0


class Verdict(NamedTuple):
    """Whether requests may be predicted together, and why. `exact`: no digit differed.

    `nulls`, `texts`, `ranges` and `params` tell the rows that go alone all the same (see `coverage`); those of a kind
    in `refuted` always will. `alone` says it for people. `rows` is the most that go together, 0 for any number. `by` is
    what the proof rests on. After `found_within` requests, a fault of 1 in 1,000 has been found with 99 %; 0 while that
    is not known.
    """

    mode: str
    reason: str = ""
    exact: bool = False
    nulls: Sequence[int] = ()
    texts: Sequence[Tuple[int, Sequence[str]]] = ()
    alone: Sequence[str] = ()
    ranges: Sequence[Tuple[int, float, float]] = ()
    params: Optional[Sequence[str]] = None
    refuted: Sequence[Tuple[str, Any]] = ()
    rows: int = 0
    by: str = ""
    tried: bool = False  # rows that were made up gave no reason to refuse it
    found_within: int = 0

    @property
    def together(self) -> bool:
        """Whether they may."""
        return self.mode != OFF

    @property
    def slow(self) -> bool:
        """Whether it is thin for want of time."""
        return self.thin and TOO_SLOW in self.reason

    @property
    def thin(self) -> bool:
        """Whether more rows could tell."""
        return self.mode == OFF and self.reason.startswith(THIN)


class _Failed(Exception):
    """The model is not row-wise, or it cannot be told; the text says why."""


Known = Tuple[Parsed, Any]  # a row and its single answer


class Finding(NamedTuple):
    """A verdict, and the rows that it rests on. `unseen`: whether rows with unseen texts are among them.

    `refuted`: columns where the model answers otherwise in company, by the kind: nulls, or unseen texts in all of them.
    """

    verdict: Verdict
    rows: Sequence[Parsed] = ()
    unseen: bool = False
    refuted_nulls: Sequence[int] = ()
    refuted_texts: bool = False


class Others(NamedTuple):
    """Rows unlike the candidates, those that belong together in a list. Where those in `numbers` depend on their
    company, the model is not row-wise; where those in `texts` or `nulls` do, rows like them are not covered.
    """

    numbers: Sequence[Sequence[Parsed]] = ()
    texts: Sequence[Sequence[Parsed]] = ()
    nulls: Sequence[Sequence[Parsed]] = ()


NO_OTHERS = Others()


def prove(
    score: Score, candidates: Iterable[Parsed], others: Others = NO_OTHERS, seconds: float = MOST_SECONDS
) -> Finding:
    """Try the model with single rows out of `candidates`, and with `others` beside them, for at most so long."""
    return finish(steps(score, candidates, others, seconds))


def finish(going: "Steps[_T]") -> _T:
    """Run a proof to its end."""
    try:
        while True:
            next(going)
    except StopIteration as end:
        found: _T = end.value
        return found


def steps(
    score: Score, candidates: Iterable[Parsed], others: Others = NO_OTHERS, seconds: float = MOST_SECONDS
) -> "Steps[Finding]":
    """The same step by step."""
    trial = _Trial(score, seconds)
    try:
        found = yield from trial.singles(candidates)
        yield from trial.together(found)
        _check_enough(found)
        rows = found[:_KEPT]
        numbers = yield from trial.known(chain.from_iterable(others.numbers))
        yield from trial.beside(rows, numbers)
    except _Failed as failed:
        return Finding(Verdict(OFF, str(failed)))
    texts = yield from trial.covered(rows, others.texts)
    nulls = yield from trial.covered(rows, others.nulls, single=_null_at)
    covered = [row for row, _ in [*rows, *numbers, *texts.rows, *nulls.rows]]
    verdict = Verdict(PROVED, exact=trial.exact, rows=trial.largest)
    unseen = len(texts.rows) >= FEW_TEXTS
    return Finding(verdict, covered, unseen, nulls.refuted, texts.failed)


def again(
    score: Score, usual: Sequence[Parsed], rows: Sequence[Parsed], seconds: float = MOST_SECONDS
) -> "Steps[Finding]":
    """Whether rows of a new kind bear the company of usual ones, and of each other; the verdict of few rows is as good
    as that of many, where others were proved before.
    """
    trial = _Trial(score, seconds)
    try:
        known = yield from trial.known(usual)
        new = yield from trial.known(rows)
        if not new:
            raise _Failed(f"{THIN}: the model refused the rows")
        yield from trial.together(new)
        yield from trial.beside(known or new, new)
    except _Failed as failed:
        return Finding(Verdict(OFF, str(failed)))
    return Finding(Verdict(PROVED, exact=trial.exact, rows=trial.largest), [row for row, _ in new])


class _Covered(NamedTuple):
    rows: List[Known]
    refuted: List[int]  # columns
    failed: bool  # not all bore it


_NOTHING = _Covered([], [], False)


class _Trial:
    def __init__(self, score: Score, seconds: float) -> None:
        self._score, self._seconds, self._limit = score, seconds, seconds
        self._predicts = 0
        self._random = random.Random(1)  # noqa: S311 - not for secrets
        self.exact = True
        self.largest = LARGEST

    def singles(self, candidates: Iterable[Parsed]) -> "Steps[List[Known]]":
        """Distinct rows with their answers, as different as they come. Raises _Failed."""
        found: List[Known] = []
        texts = set()
        for tried, candidate in enumerate(candidates):
            if tried >= _MOST_SINGLES or (len(found) >= ROWS and _variety(found) > 1):
                break
            if repr(candidate.data) in texts:
                continue
            texts.add(repr(candidate.data))
            scored = yield from self._single(candidate)
            if scored is not None:
                found.append((candidate, scored.answers[0]))
        if any(not isinstance(answer, list) or len(answer) != 1 for _, answer in found):
            raise _Failed("the model does not return one item for each row")
        return _mixed(found)

    def known(self, rows: Iterable[Parsed]) -> "Steps[List[Known]]":
        """Those of the rows that the model answers, with their answers. Raises _Failed."""
        found: List[Known] = []
        for row in rows:
            scored = yield from self._single(row)
            if scored is not None and isinstance(scored.answers[0], list) and len(scored.answers[0]) == 1:
                found.append((row, scored.answers[0]))
        return found

    def covered(
        self,
        usual: List[Known],
        kind: Sequence[Sequence[Parsed]],
        single: Callable[[List[Known]], Optional[int]] = lambda _rows: None,
    ) -> "Steps[_Covered]":
        """Those rows of a kind that get their own answers beside the usual ones: all or none, or each list that does,
        where it tells of one column only, which `single` says.
        """
        try:
            lists: List[List[Known]] = []
            for rows in kind:
                found = yield from self.known(rows)
                lists.append(found)
            together = list(chain.from_iterable(lists))
            if (yield from self._bear(usual, together)):
                return _Covered(together, [], False)
            borne: List[Known] = []
            refuted: List[int] = []
            for known in lists:
                at = single(known)
                if at is not None and (yield from self._bear(usual, known)):
                    borne += known
                elif at is not None:
                    refuted.append(at)
            return _Covered(borne, refuted, True)
        except _Failed:  # no time is left
            return _NOTHING

    def _bear(self, usual: List[Known], rows: List[Known]) -> "Steps[bool]":
        exact = self.exact
        try:
            yield from self.beside(usual, rows)
        except _Failed:
            self.exact = exact  # these rows will not be in a batch
            if self._spent:
                raise
            return False
        return True

    def beside(self, usual: List[Known], rows: List[Known]) -> "Steps[None]":
        """Predict rows of another kind in the company of usual ones. Raises _Failed."""
        if not rows:
            return
        for row in rows:
            one = self._random.choice(usual)
            yield from self._check([row, one])
            yield from self._check([one, row, row])
        mixed = [*usual, *rows]
        yield from self._check(mixed)
        yield from self._check(mixed[::-1])
        yield from self._check(self._random.sample(mixed, min(7, len(mixed))))
        yield from self._check((mixed[::-1] * LARGEST)[: self.largest])

    def _single(self, row: Parsed) -> "Steps[Optional[Scored]]":
        began = self._seconds
        try:
            scored = yield from self._run([row])
        except (_Failed, GeneratorExit):
            raise
        except BaseException:  # it refuses what was made up
            return None
        took = max(1e-6, began - self._seconds)
        self.largest = min(self.largest, max(ROWS, int(_LONGEST / took)))
        return scored

    def together(self, rows: List[Known]) -> "Steps[None]":
        """Predict the rows in batches. Raises _Failed."""
        rows = rows[:_KEPT]
        yield from self._again(rows[:2])
        for batch in self._batches(rows) if rows else ():
            yield from self._check(batch)
        yield from self._again(rows[-2:])

    def _batches(self, rows: List[Known]) -> Iterable[List[Known]]:
        yield rows
        yield rows[::-1]
        for size in (2, 2, 3, 5, 7, len(rows)):
            yield self._random.sample(rows, min(size, len(rows)))
        yield [*rows, *rows[:3]]
        yield [rows[0], rows[0]]
        yield (rows * LARGEST)[: self.largest]

    def _again(self, rows: List[Known]) -> "Steps[None]":
        for row, answer in rows:
            scored = yield from self._single(row)
            if scored is None or not self._like(answer, scored.answers[0], scored.tolerance):
                raise _Failed("the model does not answer the same row alike twice")

    def _check(self, batch: List[Known]) -> "Steps[None]":
        try:
            scored = yield from self._run([row for row, _ in batch])
        except (_Failed, GeneratorExit):
            raise
        except OtherLength:
            raise _Failed("the model does not return one item for each row") from None
        except BaseException as error:
            raise _Failed(f"the model fails on several rows together ({type(error).__name__})") from None
        for (_, answer), found in zip(batch, scored.answers):
            if not self._like(answer, found, scored.tolerance):
                raise _Failed("a row's answer depends on the other rows of its batch")

    def _like(self, one: Any, other: Any, tolerance: float) -> bool:
        likeness = equality.compare(one, other, tolerance)
        self.exact = self.exact and likeness.exact
        return likeness.same

    @property
    def _spent(self) -> bool:
        return self._predicts > MOST_PREDICTS or self._seconds <= 0

    def _run(self, rows: Sequence[Parsed]) -> "Steps[Scored]":
        self._predicts += 1
        if self._spent:
            raise _Failed(f"{THIN}: {TOO_SLOW} in {self._limit:g} s")
        yield
        began = time.perf_counter()
        try:
            return self._score(rows)
        finally:
            self._seconds -= time.perf_counter() - began


def _check_enough(found: List[Known]) -> None:
    if len(found) < ROWS:
        raise _Failed(f"{THIN}: the model answered {len(found)} of the rows that were tried, and {ROWS} are needed")
    if _variety(found) < 2:
        raise _Failed(f"{THIN}: the model gave all rows that were tried the same answer")


def _null_at(rows: List[Known]) -> Optional[int]:
    """The only column in which the first row has a null and the second, which is like it but for that, has none."""
    if len(rows) != 2:
        return None
    (with_null, _), (without, _) = rows
    pairs = enumerate(zip(with_null.data[0], without.data[0]))
    found = [at for at, (a, b) in pairs if a is None and b is not None]
    return found[0] if len(found) == 1 else None


def _mixed(found: List[Known]) -> List[Known]:
    """In turn one row of each answer, so that the first few differ as much as they can."""
    groups: Dict[str, List[Known]] = {}
    for known in found:
        groups.setdefault(repr(known[1]), []).append(known)
    turns = zip_longest(*groups.values())
    return [known for turn in turns for known in turn if known is not None]


def _variety(found: List[Known]) -> int:
    return len({repr(answer) for _, answer in found})
