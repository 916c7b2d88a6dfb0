"""The gate's report as a page: what was replayed, what differed, and the verdict.

A report is JSON that control keeps; `core/rollout/gate.py` writes it. Earlier versions of Tidegate may have written
one with fewer fields, so nothing in it is taken for granted.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.dashboard.stacked_bar import Part, stacked

VERDICTS = {"passed": "passed", "held_back": "held back", "forced": "forced"}
_ANSWERS = ("exact", "within tolerance", "changed", "failed", "not compared")
_ANSWER_FILLS = ("f3", "f1", "f2", "f5", "f6")
_MOST_LINES = 400  # of a schema
_WHOLE = "the answer"  # the gate's name of the whole answer, which comes first


@dataclass(frozen=True, slots=True)
class Failure:
    """Requests that failed in one way: how many, and the first one's sentence."""

    what: str
    count: int
    first: str


@dataclass(frozen=True, slots=True)
class SchemaLine:
    """One place of the answers, and its types before and after. `change` is `new`, `gone`, `changed`, or empty."""

    path: str
    before: str
    after: str
    change: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A measurement before and after, in seconds or bytes; None where it was not measured."""

    before: float | None = None
    after: float | None = None

    @property
    def times(self) -> float | None:
        """How many times as much it is after; None where that is not known."""
        return self.after / self.before if self.before and self.after is not None else None


@dataclass(frozen=True, slots=True)
class EntityReport:
    """What was found of one served entity. Marks are the memory of the candidate as the replay went on, bytes."""

    name: str
    requests: int
    seconds: float
    compared: int
    answers: tuple[Part, ...]
    failures: tuple[Failure, ...]
    unavailable: str
    new_nulls: int
    largest_difference: float
    changes: tuple[str, ...]
    schema: tuple[SchemaLine, ...]
    more_lines: int
    latency: Pair
    timed: int
    batch: int
    memory: Pair
    marks: tuple[float, ...]

    @property
    def said(self) -> str:
        """The bar of answers in words."""
        return ", ".join(f"{part.value:,.0f} {part.label}" for part in self.answers if part.value) or "none"


@dataclass(frozen=True, slots=True)
class GateReport:
    """The view model of the page. `verdict` is one of VERDICTS, or empty where it is not known."""

    verdict: str = ""
    mode: str = ""
    reasons: tuple[str, ...] = ()
    entities: tuple[EntityReport, ...] = field(default=())

    @property
    def requests(self) -> int:
        """All requests that were replayed."""
        return sum(entity.requests for entity in self.entities)

    @property
    def sentence(self) -> str:
        """The verdict, with why."""
        match self.verdict:
            case "held back":
                return f"Held back: {'; '.join(self.reasons) or 'no reason is on record'}."
            case "forced":
                return "The gate was skipped: the update asked for that."
            case "passed" if not self.requests:
                return "Nothing was compared: no requests were on record. The version serves all the same."
            case "passed":
                return f"Passed: {self.requests:,} replayed requests showed nothing that `{self.mode}` holds back."
            case _:
                return "This report has no verdict."


def gate_report(text: str) -> GateReport | None:
    """The view model of a report; None where there is none, or where it cannot be read."""
    try:
        report = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(report, dict):
        return None
    entities = _mapping(report, "served_entities")
    return GateReport(
        VERDICTS.get(str(report.get("verdict")), ""),
        str(report.get("mode", "")),
        tuple(map(str, _list(report, "reasons"))),
        tuple(_entity(name, found) for name, found in entities.items() if isinstance(found, dict)),
    )


def _entity(name: str, found: Mapping[str, Any]) -> EntityReport:
    answers, latency, memory = (_mapping(found, part) for part in ("answers", "latency", "memory"))
    failures = tuple(_failures(found))
    failed = sum(failure.count for failure in failures)
    requests, compared = int(_number(found, "requests") or 0), int(_number(answers, "compared") or 0)
    alike = [_number(answers, kind) or 0.0 for kind in ("exact", "within_tolerance", "changed")]
    counts = (*alike, float(failed), max(0.0, float(requests - compared - failed)))
    schema = _mapping(found, "schema")
    changes = tuple(str(change) for change in _list(schema, "changes")[:_MOST_LINES])
    lines = list(schema_lines(_mapping(schema, "before"), _mapping(schema, "after"), changes))
    return EntityReport(
        name,
        requests,
        _number(found, "seconds") or 0.0,
        compared,
        stacked(list(zip(_ANSWERS, counts, strict=True)), _ANSWER_FILLS),
        failures,
        str(found.get("unavailable") or ""),
        int(_number(answers, "new_nulls") or 0),
        _number(answers, "largest_difference") or 0.0,
        changes,
        tuple(lines[:_MOST_LINES]),
        max(0, len(lines) - _MOST_LINES),
        Pair(_seconds(latency, "before_ms"), _seconds(latency, "after_ms")),
        int(_number(latency, "timed") or 0),
        int(_number(latency, "batch") or 1),
        Pair(_number(memory, "before_bytes"), _number(memory, "after_bytes")),
        tuple(mark for mark in _list(memory, "marks_bytes") if _is_number(mark)),
    )


def _failures(found: Mapping[str, Any]) -> Iterator[Failure]:
    for key, what in (("crashes", "ended the process"), ("hangs", "hung"), ("errors", "failed")):
        part = _mapping(found, key)
        if number := int(_number(part, "count") or 0):
            yield Failure(what, number, str(part.get("first") or ""))


def schema_lines(before: Mapping[str, Any], after: Mapping[str, Any], changes: Sequence[str]) -> Iterator[SchemaLine]:
    """All places of two schemas, the changed ones first: those that one of the gate's phrases is about."""
    lines = []
    for path in sorted({*before, *after}, key=lambda path: (path != _WHOLE, path)):
        change = "new" if path not in before else "gone" if path not in after else "changed"
        told = any(phrase.startswith(f"{path} is ") for phrase in changes)
        was, now = _types(before.get(path)), _types(after.get(path))
        lines.append(SchemaLine(path, " or ".join(was), " or ".join(now), change if told else ""))
    yield from sorted(lines, key=lambda line: not line.change)


def _types(kinds: Any) -> Sequence[str]:
    return [str(kind) for kind in kinds] if isinstance(kinds, list) else []


def _mapping(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _list(found: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = found.get(key)
    return value if isinstance(value, list) else ()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18


def _number(found: Mapping[str, Any], key: str) -> float | None:
    value = found.get(key)
    return float(value) if value is not None and _is_number(value) else None


def _seconds(found: Mapping[str, Any], key: str) -> float | None:
    value = _number(found, key)
    return None if value is None else value / 1000
