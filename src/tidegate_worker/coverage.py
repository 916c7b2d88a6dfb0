"""Which rows the proof of batching has covered: any other row is predicted by itself.

A model may treat a null or an unseen text by what its batch holds, and other values row by row. What the proof did not
have, or the model refused, is not known to be safe.
"""

import hashlib
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from tidegate_worker.parser import MEMORY, NULLABLE, Parsed
from tidegate_worker.rowwise import Finding, Verdict
from tidegate_worker.signature import Column, Signature

# Kinds of column that hold text.
_TEXTS = frozenset({"string", "binary", "datetime"})
# So many different texts of real rows stand for any others.
_MANY_TEXTS = 8
# A table may have thousands of columns.
_MOST_NAMED = 20


class Coverage(NamedTuple):
    """What was not proved, by column. `nulls`: no null; `texts`: no other text than these, told by their digests."""

    nulls: Tuple[int, ...] = ()
    texts: Tuple[Tuple[int, Tuple[str, ...]], ...] = ()

    def described(self, columns: Sequence[Column]) -> List[str]:
        """What is predicted by itself, for people."""

        def name(at: int) -> str:
            given = columns[at].name
            return f"column {at + 1}" if given is None else f'"{given}"'

        said = [f"null in {name(at)}" for at in self.nulls]
        said += [f"another text in {name(at)} than the proof had" for at, _ in self.texts]
        return said if len(said) <= _MOST_NAMED else [*said[:_MOST_NAMED], f"and {len(said) - _MOST_NAMED} more"]


def digest(text: str) -> str:
    """What stands on record for a text, which may be a caller's."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def coverage_of(signature: Signature, rows: Sequence[Parsed], unseen: Optional[bool]) -> Coverage:
    """What these rows leave uncovered; of a tensor nothing, which has neither. For `unseen` see `Finding`."""
    if not signature.columns:
        return Coverage()
    values = _columns(rows, len(signature.columns))
    nulls = [at for at, column in enumerate(signature.columns) if column.kind in NULLABLE and None not in values[at]]
    texts = []
    for at, column in enumerate(signature.columns):
        seen = {value for value in values[at] if isinstance(value, str)}
        any_text = len(seen) >= _MANY_TEXTS if unseen is None else unseen
        if column.kind in _TEXTS and not any_text:
            texts.append((at, tuple(sorted(map(digest, seen)))))
    return Coverage(tuple(nulls), tuple(texts))


def covering(signature: Signature, found: Finding, before: Optional[Verdict] = None) -> Verdict:
    """The verdict of a finding with what its rows, and those of the verdict before, leave uncovered."""
    if not found.rows:
        return found.verdict
    nulls, texts = coverage_of(signature, found.rows, found.unseen)
    if before is not None:
        known = dict(texts)
        nulls = tuple(at for at in before.nulls if at in nulls)
        texts = tuple((at, tuple(sorted({*old, *known[at]}))) for at, old in before.texts if at in known)
    alone = Coverage(nulls, texts).described(signature.columns)
    return found.verdict._replace(nulls=nulls, texts=texts, alone=tuple(alone))


def settled(verdict: Verdict) -> Verdict:
    """The verdict with tuples, where it was read from JSON."""
    texts = tuple((at, tuple(known)) for at, known in verdict.texts)
    return verdict._replace(nulls=tuple(verdict.nulls), texts=texts, alone=tuple(verdict.alone))


class Admission:
    """Whether a request's rows are covered by a verdict."""

    def __init__(self, verdict: Verdict) -> None:
        self.all = not verdict.nulls and not verdict.texts
        self._nulls = tuple(verdict.nulls)
        self._texts: Dict[int, FrozenSet[str]] = {at: frozenset(texts) for at, texts in verdict.texts}
        self._known: Dict[Tuple[int, Optional[str]], bool] = {}  # what was looked up

    def takes(self, parsed: Parsed) -> bool:
        """Whether they may be predicted beside others."""
        if self.all:
            return True
        if parsed.by_column:
            return not any(None in parsed.data[at] for at in self._nulls) and all(
                self._is_known(at, text) for at in self._texts for text in parsed.data[at]
            )
        for row in parsed.data:
            for at in self._nulls:
                if row[at] is None:
                    return False
            for at in self._texts:
                if not self._is_known(at, row[at]):
                    return False
        return True

    def _is_known(self, at: int, text: Optional[str]) -> bool:
        """Whether a text is one of the proof's; null is no text."""
        known = self._known.get((at, text))
        if known is None:
            known = text is None or digest(text) in self._texts[at]
            if len(self._known) >= MEMORY:
                self._known.clear()
            self._known[at, text] = known
        return known


def _columns(rows: Sequence[Parsed], width: int) -> List[List[Any]]:
    values: List[List[Any]] = [[] for _ in range(width)]
    for parsed in rows:
        columns = parsed.data if parsed.by_column else zip(*parsed.data)
        for at, column in enumerate(columns):
            values[at] += column
    return values
