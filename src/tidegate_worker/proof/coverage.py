"""Which rows the proof of batching has covered: any other row is predicted by itself.

A model may treat a null, an unseen text or a number beyond the usual ones by what its batch holds, and other values row
by row. What the proof did not have, or the model refused, is not known to be safe.
"""

import hashlib
from functools import lru_cache
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from tidegate_worker.fast.parser import MEMORY, Parsed
from tidegate_worker.input.signature import NULLABLE, Column, Signature
from tidegate_worker.proof.row_wise import NULL, NUMBER, PARAMS, TEXT, Kind, Verdict

# Kinds of column whose values are told one by one, and those of which only real requests know the values.
_TEXTS = frozenset({"string", "binary", "datetime"})
_MEANINGFUL = frozenset({"string", "binary"})
_NUMBERS = frozenset({"double", "float", "long", "integer", "boolean"})
# So many different texts of one shape stand for any others of it. A shape is the set of characters that a text has,
# where letters and digits are told by their class only: dates in two formats have two.
_MANY_TEXTS = 24
# The place of a tensor's numbers, which have one range together.
TENSOR = -1
# A table may have thousands of columns.
_MOST_NAMED = 20

Range = Tuple[float, float]
_NO_NUMBER: Range = (0.0, -1.0)


class Coverage(NamedTuple):
    """What was proved, by column. `texts`: digests, or None for any text. `ranges`: the least and the largest number,
    or None for any. `params`: digests of the params that were proved, or None for any.
    """

    nulls: FrozenSet[int] = frozenset()
    texts: Mapping[int, Optional[FrozenSet[str]]] = {}
    ranges: Mapping[int, Optional[Range]] = {}
    params: Optional[FrozenSet[str]] = frozenset()

    def joined(self, other: "Coverage") -> "Coverage":
        """What either covers."""
        texts, ranges = dict(self.texts), dict(self.ranges)
        for at, known in other.texts.items():
            mine = texts.get(at, frozenset())
            texts[at] = None if mine is None or known is None else mine | known
        for at, span in other.ranges.items():
            ranges[at] = _spanning(ranges.get(at, _NO_NUMBER), span)
        params = None if self.params is None or other.params is None else self.params | other.params
        return Coverage(self.nulls | other.nulls, texts, ranges, params)


def _spanning(one: Optional[Range], other: Optional[Range]) -> Optional[Range]:
    if one is None or other is None:
        return None
    spans = [span for span in (one, other) if span[0] <= span[1]]
    return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else _NO_NUMBER


def digest(text: str) -> str:
    """What stands on record for a text, which may be a caller's: its shape's digest, and its own."""
    return _shape(text) + _digest(text)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _shape(text: str) -> str:
    return _digest("".join(sorted({_class(character) for character in set(text)})))


def _class(character: str) -> str:
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return "0" if character.isdigit() else character


def _closed(known: FrozenSet[str]) -> FrozenSet[str]:
    """Digests of texts, where many of one shape have become that shape alone."""
    shapes = [each[:_SHAPE] for each in known]
    many = {shape for shape in set(shapes) if shapes.count(shape) >= _MANY_TEXTS or shape in known}
    return frozenset(many | {each for each in known if each[:_SHAPE] not in many})


_SHAPE = 16  # hexadecimal digits of its digest


def of_made_up(signature: Signature, rows: Sequence[Parsed], *, by_type: bool, unseen: bool) -> Coverage:
    """What rows that were made up cover. `unseen`: the model bore texts that no example has.

    Of a known estimator, `by_type`, numbers need no range. Of other code the meaning of texts is not known.
    """
    found = of_real(signature, rows)
    texts: Dict[int, Optional[FrozenSet[str]]] = dict(found.texts)
    for at, column in enumerate(signature.columns):
        if at in texts and (by_type or column.kind not in _MEANINGFUL):
            texts[at] = None if unseen else _digests(_values(rows, at))
        elif at in texts:
            texts[at] = frozenset()
    if by_type:
        return Coverage(found.nulls, texts, dict.fromkeys(found.ranges), None)
    return Coverage(found.nulls, texts, found.ranges)


def of_real(signature: Signature, rows: Sequence[Parsed]) -> Coverage:
    """What rows of callers cover."""
    nulls, texts, ranges = [], {}, {}
    for at, column in enumerate(signature.columns):
        values = _values(rows, at)
        if column.kind in NULLABLE and None in values:
            nulls.append(at)
        if column.kind in _TEXTS:
            texts[at] = _digests(values)
        if column.kind in _NUMBERS:
            numbers = [value for value in values if value is not None]
            ranges[at] = (min(numbers), max(numbers)) if numbers else _NO_NUMBER
    if signature.tensors:
        spans = [span for span in (_least_and_most(row.data) for row in rows) if span != _NOTHING]
        ranges[TENSOR] = (min(low for low, _ in spans), max(high for _, high in spans)) if spans else _NO_NUMBER
    params = frozenset(digest_of_params(row) for row in rows)
    return Coverage(frozenset(nulls), texts, ranges, params)


def digest_of_params(parsed: Parsed) -> str:
    """What stands on record for a request's params."""
    return _digest(parsed.params.decode("utf-8", "replace"))


def is_known(kind: Kind, signature: Signature) -> bool:
    """Whether a kind that somebody else has told of is one of this signature's."""
    if kind.what == PARAMS:
        return isinstance(kind.at, str)
    places = range(TENSOR if signature.tensors else 0, len(signature.columns))
    return kind.what in _WORDS and isinstance(kind.at, int) and kind.at in places


def of_verdict(signature: Signature, verdict: Verdict) -> Coverage:
    """What a verdict covers."""
    texts: Dict[int, Optional[FrozenSet[str]]] = {
        at: None for at, column in enumerate(signature.columns) if column.kind in _TEXTS
    }
    texts.update({at: frozenset(known) for at, known in verdict.texts})
    ranges: Dict[int, Optional[Range]] = {
        at: None for at, column in enumerate(signature.columns) if column.kind in _NUMBERS
    }
    if signature.tensors:
        ranges[TENSOR] = None
    ranges.update({at: (low, high) for at, low, high in verdict.ranges})
    nulls = _nullable(signature) - frozenset(verdict.nulls)
    return Coverage(nulls, texts, ranges, None if verdict.params is None else frozenset(verdict.params))


def covering(signature: Signature, verdict: Verdict, covered: Coverage) -> Verdict:
    """The verdict with what is not covered; what was refuted never is.

    From version 3 on, pandas makes NaN of a null beside texts and leaves it None by itself: encoders tell them apart.
    """
    always = [(NULL, at) for at, column in enumerate(signature.columns) if column.kind == "string" and _loses_none()]
    verdict = verdict._replace(refuted=tuple(dict.fromkeys([*verdict.refuted, *always])))
    refuted = {Kind(what, at) for what, at in verdict.refuted}
    nulls = [at for at in sorted(_nullable(signature)) if at not in covered.nulls or Kind(NULL, at) in refuted]
    texts = [
        (at, tuple(sorted(known if Kind(TEXT, at) in refuted else _closed(known))))
        for at, known in sorted(covered.texts.items())
        if known is not None
    ]
    ranges = [(at, *span) for at, span in sorted(covered.ranges.items()) if span is not None]
    params = tuple(sorted(covered.params)) if covered.params is not None and signature.params else None
    found = verdict._replace(nulls=tuple(nulls), texts=tuple(texts), ranges=tuple(ranges), params=params)
    return found._replace(alone=tuple(_described(found, signature.columns)) if found.together else ())


def without(covered: Coverage, kinds: Iterable[Kind], base: Coverage) -> Coverage:
    """What is covered but for these kinds: of their texts and numbers, what `base` covers."""
    nulls, texts, ranges, params = set(covered.nulls), dict(covered.texts), dict(covered.ranges), covered.params
    for kind in kinds:
        if kind.what == NULL:
            nulls.discard(kind.at)
        elif kind.what == TEXT:
            before = base.texts.get(kind.at)
            texts[kind.at] = frozenset() if before is None or before == texts.get(kind.at) else before
        elif kind.what == NUMBER:
            span = base.ranges.get(kind.at)
            ranges[kind.at] = _NO_NUMBER if span is None or span == ranges.get(kind.at) else span
        elif params is not None:
            params -= {kind.at}
    return Coverage(frozenset(nulls), texts, ranges, params)


@lru_cache(1)
def _loses_none() -> bool:
    import pandas as pd

    return pd.Series([None, "text"]).iloc[0] is not None


def usual(signature: Signature, verdict: Verdict) -> Verdict:
    """The verdict without its nulls: what is left is the rows that most callers send."""
    return verdict._replace(nulls=tuple(sorted(_nullable(signature))))


def settled(verdict: Verdict) -> Verdict:
    """The verdict with tuples, where it was read from JSON."""
    return verdict._replace(
        nulls=tuple(verdict.nulls),
        texts=tuple((at, tuple(known)) for at, known in verdict.texts),
        ranges=tuple((at, low, high) for at, low, high in verdict.ranges),
        params=None if verdict.params is None else tuple(verdict.params),
        refuted=tuple((str(what), at) for what, at in verdict.refuted),
        alone=tuple(verdict.alone),
    )


def named(kind: Kind, columns: Sequence[Column]) -> str:
    """A kind of row, for people."""
    return f"{_WORDS[kind.what]} in {_name(columns, kind.at)}" if kind.what in _WORDS else kind.what


_WORDS = {NULL: "null", TEXT: "another text than the proof had", NUMBER: "a number beyond those that the proof had"}


def _name(columns: Sequence[Column], at: Any) -> str:
    if at == TENSOR:
        return "the tensor"
    given = columns[at].name
    return f"column {at + 1}" if given is None else f'"{given}"'


def _described(verdict: Verdict, columns: Sequence[Column]) -> List[str]:
    kinds = [Kind(NULL, at) for at in verdict.nulls]
    kinds += [Kind(TEXT, at) for at, _ in verdict.texts]
    said = [named(kind, columns) for kind in kinds]
    spans = [at for at, _, _ in verdict.ranges]
    if spans:
        of = ", ".join(_name(columns, at) for at in spans[:3]) + (", …" if len(spans) > 3 else "")
        said.append(f"{_WORDS[NUMBER]} in {of}")
    if verdict.params is not None:
        said.append("params other than the proof had")
    return said if len(said) <= _MOST_NAMED else [*said[:_MOST_NAMED], f"and {len(said) - _MOST_NAMED} more"]


class Admission:
    """Whether a request's rows are covered by a verdict, and what keeps them from it."""

    def __init__(self, verdict: Verdict) -> None:
        self.all = not verdict.nulls and not verdict.texts and not verdict.ranges and verdict.params is None
        self._nulls = tuple(verdict.nulls)
        self._texts: Dict[int, FrozenSet[str]] = {at: frozenset(texts) for at, texts in verdict.texts}
        self._ranges = tuple(each for each in verdict.ranges if each[0] != TENSOR)
        self._tensor = next(((low, high) for at, low, high in verdict.ranges if at == TENSOR), None)
        self._params = None if verdict.params is None else frozenset(verdict.params)
        self._known: Dict[Tuple[int, Optional[str]], bool] = {}  # what was looked up

    def takes(self, parsed: Optional[Parsed]) -> bool:
        """Whether they may be predicted beside others; what the stock path reads never is in a batch."""
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
                if not self._is_known(at, row[at]):
                    return False
        return True

    def kinds(self, parsed: Parsed) -> FrozenSet[Kind]:
        """What there is in the rows that is not covered."""
        if self.all:
            return frozenset()
        found = []
        if self._params is not None and not self._takes_params(parsed):
            found.append(Kind(PARAMS, digest_of_params(parsed)))
        if self._tensor is not None:
            low, high = _least_and_most(parsed.data)
            found += [] if self._tensor[0] <= low and high <= self._tensor[1] else [Kind(NUMBER, TENSOR)]
        if not (self._nulls or self._ranges or self._texts):
            return frozenset(found)
        values = parsed.data if parsed.by_column else tuple(zip(*parsed.data))
        found += [Kind(NULL, at) for at in self._nulls if None in values[at]]
        for at, low, high in self._ranges:
            if not all(value is None or low <= value <= high for value in values[at]):
                found.append(Kind(NUMBER, at))
        found += [Kind(TEXT, at) for at in self._texts if not all(self._is_known(at, text) for text in values[at])]
        return frozenset(found)

    def _takes_params(self, parsed: Parsed) -> bool:
        return self._params is None or digest_of_params(parsed) in self._params

    @staticmethod
    def _is_covered(text: str, known: FrozenSet[str]) -> bool:
        return text in known or text[:_SHAPE] in known

    def _is_known(self, at: int, text: Optional[str]) -> bool:
        """Whether a text is one of the proof's; null is no text."""
        known = self._known.get((at, text))
        if known is None:
            known = text is None or self._is_covered(digest(text), self._texts[at])
            if len(self._known) >= MEMORY:
                self._known.clear()
            self._known[at, text] = known
        return known


def _least_and_most(data: Any) -> Range:
    """Of nested lists of numbers; of none, a range that is in any other."""
    if data and isinstance(data[0], (list, tuple)):
        spans = [span for span in map(_least_and_most, data) if span[0] <= span[1]]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else _NOTHING
    return (min(data), max(data)) if data else _NOTHING


_NOTHING: Range = (float("inf"), float("-inf"))


def _nullable(signature: Signature) -> FrozenSet[int]:
    return frozenset(at for at, column in enumerate(signature.columns) if column.kind in NULLABLE)


def _values(rows: Sequence[Parsed], at: int) -> List[Any]:
    found: List[Any] = []
    for parsed in rows:
        found += parsed.data[at] if parsed.by_column else [row[at] for row in parsed.data]
    return found


def _digests(values: Iterable[Any]) -> FrozenSet[str]:
    return frozenset(digest(value) for value in values if isinstance(value, str))
