"""Rows of real requests, kept in memory until there are enough of them to try the model with."""

from typing import Dict, FrozenSet, List, Optional, Set, Tuple

from tidegate_worker.fast.parser import Parsed
from tidegate_worker.proof.kinds import NULL, NUMBER, PARAMS, TENSOR, TEXT, Kind

# A trial needs this many distinct rows. Where callers send fewer, it begins after this many requests.
ENOUGH_ROWS, _ENOUGH_REQUESTS = 8, 64
# This many kinds of rows are kept at a time: callers choose their params, and which columns have nulls.
_MAX_KINDS = 32
# Rows of a larger body are not kept.
MAX_BODY_BYTES = 65536

Key = Tuple[Kind, bytes]
_ANY_NUMBER = Kind(NUMBER, TENSOR)  # numbers out of range are tried together, whatever their column
# Of several kinds, the last one in this order decides with which rows a row is kept.
_RAREST_LAST = (NULL, TEXT, PARAMS)


class RealRows:
    """At most `max_rows` distinct rows, each as a request of its own, with its answer.

    `requests` counts those that were offered; `kinds` are the kinds of the rows that were kept.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._rows: Dict[str, Tuple[Parsed, bytes]] = {}
        self._answers: Set[bytes] = set()
        self.requests = 0
        self.kinds: FrozenSet[Kind] = frozenset()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, parsed: Parsed, answer: bytes, kinds: FrozenSet[Kind] = frozenset()) -> bool:
        """Keep the first row of a request. Returns whether it was kept.

        Once `max_rows` are kept, a row with a new answer replaces the oldest one, and any other row is left out.
        """
        self.requests += 1
        row, body = first_row(parsed), answer if parsed.rows == 1 else b""
        text = repr((row.data, row.params))
        if text in self._rows or (len(self._rows) >= self._max_rows and body in self._answers):
            return False
        if len(self._rows) >= self._max_rows:
            del self._rows[next(iter(self._rows))]
        self._rows[text] = row, body
        self._answers.add(body)
        self.kinds |= kinds
        return True

    @property
    def are_enough(self) -> bool:
        """Whether there are enough of them for a trial."""
        return len(self._rows) >= ENOUGH_ROWS or self.requests >= _ENOUGH_REQUESTS

    def varied(self) -> List[Parsed]:
        """All rows, with one of each answer first; these come a second time."""
        first = {body: parsed for parsed, body in self._rows.values()}
        return [*first.values(), *(parsed for parsed, _ in self._rows.values())]


class RowsByKind:
    """Rows that no proof covers, by their kind and params."""

    def __init__(self) -> None:
        self._rows: Dict[Key, RealRows] = {}

    def add(self, parsed: Parsed, answer: bytes, kinds: FrozenSet[Kind]) -> Optional[RealRows]:
        """Keep a row. Returns the rows of its kind once there are enough of them; they are not kept any longer then."""
        key = _rarest(kinds), parsed.params  # rows with other params never share a batch
        if key not in self._rows and len(self._rows) >= _MAX_KINDS:
            self._rows.clear()
        rows = self._rows.setdefault(key, RealRows(ENOUGH_ROWS))
        rows.add(parsed, answer, kinds)
        return self._rows.pop(key) if rows.are_enough else None


def _rarest(kinds: FrozenSet[Kind]) -> Kind:
    """The kind under which a row of several kinds is kept. Numbers come last of all."""
    others = [kind for kind in kinds if kind.what != NUMBER]
    return max(others, key=lambda kind: (_RAREST_LAST.index(kind.what), str(kind.at))) if others else _ANY_NUMBER


def first_row(parsed: Parsed) -> Parsed:
    """The request with its first row only."""
    if parsed.rows == 1:
        return parsed
    data = tuple(column[:1] for column in parsed.data) if parsed.by_column else parsed.data[:1]
    return parsed._replace(data=data, rows=1)
