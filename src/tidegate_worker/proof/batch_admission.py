"""Who may share a batch: whether a verdict covers the rows of a request, and which of their kinds it does not cover."""

from typing import Dict, FrozenSet, Optional, Tuple

from tidegate_worker.fast.parser import MAX_REMEMBERED, Parsed
from tidegate_worker.proof.coverage import range_of
from tidegate_worker.proof.kinds import NULL, NUMBER, PARAMS, TENSOR, TEXT, Kind
from tidegate_worker.proof.text_digests import digest, digest_of_params, is_among
from tidegate_worker.proof.verdict import Verdict


class Admission:
    """The rules of one verdict. `all`: it covers every row."""

    def __init__(self, verdict: Verdict) -> None:
        self.all = not verdict.nulls and not verdict.texts and not verdict.ranges and verdict.params is None
        self._nulls = tuple(verdict.nulls)
        self._texts: Dict[int, FrozenSet[str]] = {at: frozenset(digests) for at, digests in verdict.texts}
        self._ranges = tuple(each for each in verdict.ranges if each[0] != TENSOR)
        self._tensor = next(((low, high) for at, low, high in verdict.ranges if at == TENSOR), None)
        self._params = None if verdict.params is None else frozenset(verdict.params)
        self._remembered: Dict[Tuple[int, Optional[str]], bool] = {}  # whether a text of a column is covered

    def takes(self, parsed: Optional[Parsed]) -> bool:
        """Whether the rows may be predicted beside others. What the stock path reads is never in a batch."""
        if self.all or parsed is None:
            return True
        if self._params is not None and not self._takes_params(parsed):
            return False
        if parsed.by_column or self._tensor is not None:
            return not self.kinds(parsed)
        for row in parsed.data:
            for at in self._nulls:
                if row[at] is None:
                    return False
            for at, low, high in self._ranges:
                value = row[at]
                if value is not None and not low <= value <= high:
                    return False
            for at in self._texts:
                if not self._takes_text(at, row[at]):
                    return False
        return True

    def kinds(self, parsed: Parsed) -> FrozenSet[Kind]:
        """The kinds of these rows that the verdict does not cover."""
        if self.all:
            return frozenset()
        kinds = []
        if self._params is not None and not self._takes_params(parsed):
            kinds.append(Kind(PARAMS, digest_of_params(parsed)))
        if self._tensor is not None:
            low, high = range_of(parsed.data)
            kinds += [] if self._tensor[0] <= low and high <= self._tensor[1] else [Kind(NUMBER, TENSOR)]
        if not (self._nulls or self._ranges or self._texts):
            return frozenset(kinds)
        values = parsed.data if parsed.by_column else tuple(zip(*parsed.data))
        kinds += [Kind(NULL, at) for at in self._nulls if None in values[at]]
        for at, low, high in self._ranges:
            if not all(value is None or low <= value <= high for value in values[at]):
                kinds.append(Kind(NUMBER, at))
        kinds += [Kind(TEXT, at) for at in self._texts if not all(self._takes_text(at, text) for text in values[at])]
        return frozenset(kinds)

    def _takes_params(self, parsed: Parsed) -> bool:
        return self._params is None or digest_of_params(parsed) in self._params

    def _takes_text(self, at: int, text: Optional[str]) -> bool:
        """Whether a text is covered. A null is no text: `_nulls` tells of it."""
        covered = self._remembered.get((at, text))
        if covered is None:
            covered = text is None or is_among(digest(text), self._texts[at])
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[at, text] = covered
        return covered
