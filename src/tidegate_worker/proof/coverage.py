"""What a proof covers: nulls and texts by column, ranges of numbers, and params. Any other row is predicted by itself.

A model may treat a null, an unseen text or an extreme number by what its batch holds, and treat other values row by
row. So a row may share a batch only if each of its kinds was tried (`batch_admission`).
"""

from functools import lru_cache
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from tidegate_worker.fast.parser import Parsed
from tidegate_worker.input.signature import NULLABLE, Column, Signature
from tidegate_worker.proof.kinds import DESCRIPTIONS, NULL, NUMBER, TENSOR, TEXT, Kind, column_title, describe
from tidegate_worker.proof.text_digests import digest, digest_of_params, generalised
from tidegate_worker.proof.verdict import Verdict

# Kinds of columns whose values are covered text by text, and those where only a real request shows what they mean.
_TEXTS = frozenset({"string", "binary", "datetime"})
_MEANINGFUL = frozenset({"string", "binary"})
_NUMBERS = frozenset({"double", "float", "long", "integer", "boolean"})
# A verdict describes at most this many kinds: a table may have thousands of columns.
_MAX_DESCRIBED = 20

Range = Tuple[float, float]  # the least and the largest number
_EMPTY: Range = (0.0, -1.0)  # no number is covered
_NO_NUMBERS: Range = (float("inf"), float("-inf"))  # the data has no number: any range holds it


class Coverage(NamedTuple):
    """What a proof covers, by column.

    `texts` and `params` hold digests; `ranges` holds the least and the largest number. None stands for any text, any
    number or any params.
    """

    nulls: FrozenSet[int] = frozenset()
    texts: Mapping[int, Optional[FrozenSet[str]]] = {}
    ranges: Mapping[int, Optional[Range]] = {}
    params: Optional[FrozenSet[str]] = frozenset()

    def union(self, other: "Coverage") -> "Coverage":
        """What either covers. A range is widened to the other's."""
        texts, ranges = dict(self.texts), dict(self.ranges)
        for at, digests in other.texts.items():
            mine = texts.get(at, frozenset())
            texts[at] = None if mine is None or digests is None else mine | digests
        for at, span in other.ranges.items():
            ranges[at] = _spanning(ranges.get(at, _EMPTY), span)
        params = None if self.params is None or other.params is None else self.params | other.params
        return Coverage(self.nulls | other.nulls, texts, ranges, params)


def of_made_up(signature: Signature, rows: Sequence[Parsed], *, by_type: bool, unseen: bool) -> Coverage:
    """What made-up rows cover. `unseen`: texts that no example has got their own answers.

    An estimator of a known type (`by_type`) needs no range for its numbers. For other code the meaning of texts is not
    known, so no text is covered.
    """
    real = of_real(signature, rows)
    texts: Dict[int, Optional[FrozenSet[str]]] = dict(real.texts)
    for at, column in enumerate(signature.columns):
        if at in texts and (by_type or column.kind not in _MEANINGFUL):
            texts[at] = None if unseen else _digests(_values(rows, at))
        elif at in texts:
            texts[at] = frozenset()
    if by_type:
        return Coverage(real.nulls, texts, dict.fromkeys(real.ranges), None)
    return Coverage(real.nulls, texts, real.ranges)


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
            ranges[at] = (min(numbers), max(numbers)) if numbers else _EMPTY
    if signature.tensors:
        spans = [span for span in (range_of(row.data) for row in rows) if span != _NO_NUMBERS]
        ranges[TENSOR] = (min(low for low, _ in spans), max(high for _, high in spans)) if spans else _EMPTY
    params = frozenset(digest_of_params(row) for row in rows)
    return Coverage(frozenset(nulls), texts, ranges, params)


def of_verdict(signature: Signature, verdict: Verdict) -> Coverage:
    """What a verdict covers."""
    texts: Dict[int, Optional[FrozenSet[str]]] = {
        at: None for at, column in enumerate(signature.columns) if column.kind in _TEXTS
    }
    texts.update({at: frozenset(digests) for at, digests in verdict.texts})
    ranges: Dict[int, Optional[Range]] = {
        at: None for at, column in enumerate(signature.columns) if column.kind in _NUMBERS
    }
    if signature.tensors:
        ranges[TENSOR] = None
    ranges.update({at: (low, high) for at, low, high in verdict.ranges})
    nulls = _nullable(signature) - frozenset(verdict.nulls)
    return Coverage(nulls, texts, ranges, None if verdict.params is None else frozenset(verdict.params))


def without_kinds(covered: Coverage, kinds: Iterable[Kind], base: Coverage) -> Coverage:
    """The coverage without these kinds. Of their texts and numbers it keeps what the first proof, `base`, covers."""
    nulls, texts, ranges, params = set(covered.nulls), dict(covered.texts), dict(covered.ranges), covered.params
    for kind in kinds:
        if kind.what == NULL:
            nulls.discard(kind.at)
        elif kind.what == TEXT:
            before = base.texts.get(kind.at)
            texts[kind.at] = frozenset() if before is None or before == texts.get(kind.at) else before
        elif kind.what == NUMBER:
            span = base.ranges.get(kind.at)
            ranges[kind.at] = _EMPTY if span is None or span == ranges.get(kind.at) else span
        elif params is not None:
            params -= {kind.at}
    return Coverage(frozenset(nulls), texts, ranges, params)


# --- coverage as a verdict has it ---


def apply_to(verdict: Verdict, signature: Signature, covered: Coverage) -> Verdict:
    """The verdict with this coverage. What was refuted is never covered.

    A null in a column of text is always refuted with pandas 3, which makes NaN of it beside texts and leaves it None by
    itself: encoders tell these apart.
    """
    strings = [at for at, column in enumerate(signature.columns) if column.kind == "string"]
    always = [(NULL, at) for at in strings if _texts_lose_none()]
    verdict = verdict._replace(refuted=tuple(dict.fromkeys([*verdict.refuted, *always])))
    refuted = {Kind(what, at) for what, at in verdict.refuted}
    nulls = [at for at in sorted(_nullable(signature)) if at not in covered.nulls or Kind(NULL, at) in refuted]
    texts = [
        (at, tuple(sorted(digests if Kind(TEXT, at) in refuted else generalised(digests))))
        for at, digests in sorted(covered.texts.items())
        if digests is not None
    ]
    ranges = [(at, *span) for at, span in sorted(covered.ranges.items()) if span is not None]
    params = tuple(sorted(covered.params)) if covered.params is not None and signature.params else None
    verdict = verdict._replace(nulls=tuple(nulls), texts=tuple(texts), ranges=tuple(ranges), params=params)
    return verdict._replace(alone=tuple(_described(verdict, signature.columns)) if verdict.together else ())


def with_all_nulls_uncovered(signature: Signature, verdict: Verdict) -> Verdict:
    """The verdict as if no null was covered. What it still covers is the rows that most callers send."""
    return verdict._replace(nulls=tuple(sorted(_nullable(signature))))


@lru_cache(1)
def _texts_lose_none() -> bool:
    import pandas as pd

    return pd.Series([None, "text"]).iloc[0] is not None


def _described(verdict: Verdict, columns: Sequence[Column]) -> List[str]:
    """The rows that the verdict does not cover, for people."""
    kinds = [Kind(NULL, at) for at in verdict.nulls]
    kinds += [Kind(TEXT, at) for at, _ in verdict.texts]
    lines = [describe(kind, columns) for kind in kinds]
    ranges = [at for at, _, _ in verdict.ranges]
    if ranges:
        titles = ", ".join(column_title(columns, at) for at in ranges[:3]) + (", …" if len(ranges) > 3 else "")
        lines.append(f"{DESCRIPTIONS[NUMBER]} in {titles}")
    if verdict.params is not None:
        lines.append("params other than the proof had")
    return (
        lines if len(lines) <= _MAX_DESCRIBED else [*lines[:_MAX_DESCRIBED], f"and {len(lines) - _MAX_DESCRIBED} more"]
    )


# --- values ---


def range_of(data: Any) -> Range:
    """The least and the largest number in nested lists. Without a number it is a range that any other holds."""
    if data and isinstance(data[0], (list, tuple)):
        spans = [span for span in map(range_of, data) if span[0] <= span[1]]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else _NO_NUMBERS
    return (min(data), max(data)) if data else _NO_NUMBERS


def _spanning(mine: Optional[Range], other: Optional[Range]) -> Optional[Range]:
    if mine is None or other is None:
        return None
    spans = [span for span in (mine, other) if span[0] <= span[1]]
    return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else _EMPTY


def _nullable(signature: Signature) -> FrozenSet[int]:
    return frozenset(at for at, column in enumerate(signature.columns) if column.kind in NULLABLE)


def _values(rows: Sequence[Parsed], at: int) -> List[Any]:
    values: List[Any] = []
    for parsed in rows:
        values += parsed.data[at] if parsed.by_column else [row[at] for row in parsed.data]
    return values


def _digests(values: Iterable[Any]) -> FrozenSet[str]:
    return frozenset(digest(value) for value in values if isinstance(value, str))
