"""The proof that a model predicts each row by itself: only then may requests of different callers go together.

At least `ROWS` distinct rows that have at least two different answers singly are predicted singly, all together, in
other orders, in pairs and small groups, twice in one batch, and in a batch of `LARGEST`. Every row must get its own
answer every time: exactly, but for the last digits of floats (see `same`). Then rows of other kinds, with nulls and
with unseen texts, are tried beside them; what the model refuses, or answers otherwise in company, is not covered.
"""

import random
import time
from itertools import chain, zip_longest
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from tidegate_worker import same
from tidegate_worker.parser import Parsed
from tidegate_worker.scorer import OtherLength, Scored

ROWS = 8
LARGEST = 64
_MOST_SINGLES = 28
_KEPT = 12
MOST_PREDICTS = 160
# So many different texts of a column stand for any others, where they are made up.
FEW_TEXTS = 4
MOST_SECONDS = 2.0

PROVED, OFF, ON = "proved", "off", "on"
THIN = "not enough evidence"

Score = Callable[[Sequence[Parsed]], Scored]


class Verdict(NamedTuple):
    """Whether requests may be predicted together, and why. `exact`: no digit differed.

    `nulls` and `texts` are the columns of rows that go alone all the same (see `coverage`); `alone` says it for people.
    """

    mode: str
    reason: str = ""
    exact: bool = False
    nulls: Sequence[int] = ()
    texts: Sequence[Tuple[int, Sequence[str]]] = ()
    alone: Sequence[str] = ()

    @property
    def together(self) -> bool:
        """Whether they may."""
        return self.mode != OFF

    @property
    def thin(self) -> bool:
        """Whether more rows could tell."""
        return self.mode == OFF and self.reason.startswith(THIN)


class _Failed(Exception):
    """The model is not row-wise, or it cannot be told; the text says why."""


Known = Tuple[Parsed, Any]  # a row and its single answer


class Finding(NamedTuple):
    """A verdict, and the rows that it rests on. `unseen`: whether unseen texts are covered; None: none was tried."""

    verdict: Verdict
    rows: Sequence[Parsed] = ()
    unseen: Optional[bool] = None


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
    trial = _Trial(score, seconds)
    try:
        rows = trial.singles(candidates)
        trial.together(rows)
        numbers = trial.known(chain.from_iterable(others.numbers))
        trial.beside(rows, numbers)
    except _Failed as failed:
        return Finding(Verdict(OFF, str(failed)))
    texts = trial.covered(rows, others.texts, one_by_one=False)
    nulls = trial.covered(rows, others.nulls, one_by_one=True)
    unseen = len(texts) >= FEW_TEXTS if others.texts else None
    found = [row for row, _ in [*rows, *numbers, *texts, *nulls]]
    return Finding(Verdict(PROVED, exact=trial.exact), found, unseen)


class _Trial:
    def __init__(self, score: Score, seconds: float) -> None:
        self._score, self._seconds = score, seconds
        self._predicts = 0
        self._random = random.Random(1)  # noqa: S311 - not for secrets
        self.exact = True

    def singles(self, candidates: Iterable[Parsed]) -> List[Known]:
        """Distinct rows with their answers, as different as they come. Raises _Failed."""
        found: List[Known] = []
        texts = set()
        for tried, candidate in enumerate(candidates):
            if tried >= _MOST_SINGLES or (len(found) >= ROWS and _variety(found) > 1):
                break
            if repr(candidate.data) in texts:
                continue
            texts.add(repr(candidate.data))
            scored = self._single(candidate)
            if scored is not None:
                found.append((candidate, scored.answers[0]))
        return self._enough(found)

    def known(self, rows: Iterable[Parsed]) -> List[Known]:
        """Those of the rows that the model answers, with their answers. Raises _Failed."""
        found: List[Known] = []
        for row in rows:
            scored = self._single(row)
            if scored is not None and isinstance(scored.answers[0], list) and len(scored.answers[0]) == 1:
                found.append((row, scored.answers[0]))
        return found

    def covered(self, usual: List[Known], kind: Sequence[Sequence[Parsed]], *, one_by_one: bool) -> List[Known]:
        """Those rows of a kind that get their own answers beside the usual ones: all or none, or each list that does,
        where it tells of one column only.
        """
        try:
            lists = [self.known(rows) for rows in kind]
            if self._bear(usual, list(chain.from_iterable(lists))):
                return list(chain.from_iterable(lists))
            single = [rows for rows in lists if one_by_one and _one_null(rows)]
            return [row for rows in single if self._bear(usual, rows) for row in rows]
        except _Failed:  # no time is left
            return []

    def _bear(self, usual: List[Known], rows: List[Known]) -> bool:
        exact = self.exact
        try:
            self.beside(usual, rows)
        except _Failed:
            self.exact = exact  # these rows will not be in a batch
            if self._spent:
                raise
            return False
        return True

    def beside(self, usual: List[Known], rows: List[Known]) -> None:
        """Predict rows of another kind in the company of usual ones. Raises _Failed."""
        if not rows:
            return
        for row in rows:
            one = self._random.choice(usual)
            self._check([row, one])
            self._check([one, row, row])
        mixed = [*usual, *rows]
        self._check(mixed)
        self._check(mixed[::-1])
        self._check(self._random.sample(mixed, min(7, len(mixed))))
        self._check((mixed[::-1] * LARGEST)[:LARGEST])

    def _single(self, row: Parsed) -> Optional[Scored]:
        try:
            return self._run([row])
        except _Failed:
            raise
        except BaseException:  # it refuses what was made up
            return None

    def _enough(self, found: List[Known]) -> List[Known]:
        if len(found) < ROWS:
            raise _Failed(f"{THIN}: the model answered {len(found)} of the rows that were tried, and {ROWS} are needed")
        if _variety(found) < 2:
            raise _Failed(f"{THIN}: the model gave all rows that were tried the same answer")
        if any(not isinstance(answer, list) or len(answer) != 1 for _, answer in found):
            raise _Failed("the model does not return one item for each row")
        return _mixed(found)[:_KEPT]

    def together(self, rows: List[Known]) -> None:
        """Predict the rows in batches. Raises _Failed."""
        self._again(rows[:2])
        for batch in self._batches(rows):
            self._check(batch)
        self._again(rows[-2:])

    def _batches(self, rows: List[Known]) -> Iterable[List[Known]]:
        yield rows
        yield rows[::-1]
        for size in (2, 2, 3, 5, 7, len(rows)):
            yield self._random.sample(rows, min(size, len(rows)))
        yield [*rows, *rows[:3]]
        yield [rows[0], rows[0]]
        yield (rows * LARGEST)[:LARGEST]

    def _again(self, rows: List[Known]) -> None:
        for row, answer in rows:
            scored = self._single(row)
            if scored is None or not self._like(answer, scored.answers[0], scored.tolerance):
                raise _Failed("the model does not answer the same row alike twice")

    def _check(self, batch: List[Known]) -> None:
        try:
            scored = self._run([row for row, _ in batch])
        except _Failed:
            raise
        except OtherLength:
            raise _Failed("the model does not return one item for each row") from None
        except BaseException as error:
            raise _Failed(f"the model fails on several rows together ({type(error).__name__})") from None
        for (_, answer), found in zip(batch, scored.answers):
            if not self._like(answer, found, scored.tolerance):
                raise _Failed("a row's answer depends on the other rows of its batch")

    def _like(self, one: Any, other: Any, tolerance: float) -> bool:
        likeness = same.compare(one, other, tolerance)
        self.exact = self.exact and likeness.exact
        return likeness.same

    @property
    def _spent(self) -> bool:
        return self._predicts > MOST_PREDICTS or self._seconds <= 0

    def _run(self, rows: Sequence[Parsed]) -> Scored:
        self._predicts += 1
        if self._spent:
            raise _Failed(f"{THIN}: the model is too slow to be tried in {MOST_SECONDS:g} s")
        began = time.perf_counter()
        try:
            return self._score(rows)
        finally:
            self._seconds -= time.perf_counter() - began


def _one_null(rows: List[Known]) -> bool:
    """Whether the first row has a null in one column, and the second is like it but for that."""
    if len(rows) != 2:
        return False
    (with_null, _), (without, _) = rows
    return sum(a is None and b is not None for a, b in zip(with_null.data[0], without.data[0])) == 1


def _mixed(found: List[Known]) -> List[Known]:
    """In turn one row of each answer, so that the first few differ as much as they can."""
    groups: Dict[str, List[Known]] = {}
    for known in found:
        groups.setdefault(repr(known[1]), []).append(known)
    turns = zip_longest(*groups.values())
    return [known for turn in turns for known in turn if known is not None]


def _variety(found: List[Known]) -> int:
    return len({repr(answer) for _, answer in found})
