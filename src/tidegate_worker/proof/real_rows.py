"""Real rows, kept until they are enough to try the model with."""

from typing import Dict, FrozenSet, List, Optional, Set, Tuple

from tidegate_worker.fast.parser import Parsed
from tidegate_worker.proof.row_wise import NUMBER, Kind

# So many distinct rows are a try; callers who send fewer are waited for so many requests long.
ENOUGH, _LONG = 8, 64
# Kinds of rows that are gathered at the same time: callers choose their params, and which columns have nulls.
_MOST_KINDS = 32
# A larger body is not kept, nor are its rows.
MOST_BYTES = 65536

Key = Tuple[Kind, bytes]
_NUMBERS = Kind(NUMBER, -1)  # those beyond the range in any column are tried together


class Rows:
    """Distinct rows, as single requests, each with what was answered to it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: Dict[str, Tuple[Parsed, bytes]] = {}
        self._answers: Set[bytes] = set()
        self.requests = 0
        self.kinds: FrozenSet[Kind] = frozenset()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, parsed: Parsed, answer: bytes, kinds: FrozenSet[Kind] = frozenset()) -> bool:
        """Keep the first row of a request. Whether it is another one than those that are kept.

        Once they are many, only one with another answer is kept, in the place of the oldest.
        """
        self.requests += 1
        row, body = first_row(parsed), answer if parsed.rows == 1 else b""
        text = repr((row.data, row.params))
        if text in self._rows or (len(self._rows) >= self._most and body in self._answers):
            return False
        if len(self._rows) >= self._most:
            del self._rows[next(iter(self._rows))]
        self._rows[text] = row, body
        self._answers.add(body)
        self.kinds |= kinds
        return True

    @property
    def enough(self) -> bool:
        """Whether they are worth a try."""
        return len(self._rows) >= ENOUGH or self.requests >= _LONG

    def varied(self) -> List[Parsed]:
        """One row of each answer first."""
        first = {body: parsed for parsed, body in self._rows.values()}
        return [*first.values(), *(parsed for parsed, _ in self._rows.values())]


class ByKind:
    """Rows that are not covered, by what they are."""

    def __init__(self) -> None:
        self._found: Dict[Key, Rows] = {}

    def add(self, parsed: Parsed, answer: bytes, kinds: FrozenSet[Kind]) -> Optional[Rows]:
        """Keep a row. The rows of its kind, once they are enough; they are forgotten then."""
        key = _key(kinds), parsed.params  # those with other params are predicted apart
        if key not in self._found and len(self._found) >= _MOST_KINDS:
            self._found.clear()
        rows = self._found.setdefault(key, Rows(ENOUGH))
        rows.add(parsed, answer, kinds)
        return self._found.pop(key) if rows.enough else None


def _key(kinds: FrozenSet[Kind]) -> Kind:
    """Rows of several kinds are kept with the rarest: params, texts, nulls, then numbers."""
    if all(kind.what == NUMBER for kind in kinds):
        return _NUMBERS
    return max((kind for kind in kinds if kind.what != NUMBER), key=lambda kind: (_RARE.index(kind.what), str(kind.at)))


_RARE = ("null", "text", "params")


def first_row(parsed: Parsed) -> Parsed:
    """A request of its first row only."""
    if parsed.rows == 1:
        return parsed
    data = tuple(column[:1] for column in parsed.data) if parsed.by_column else parsed.data[:1]
    return parsed._replace(data=data, rows=1)
