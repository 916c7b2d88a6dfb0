"""The gate: judges a new configuration by replayed real requests before it takes the place of the active one.

The mode `safe` holds back a configuration that would break callers. The reasons are new errors, crashes and hangs,
other types, missing values, predictions that take far longer, and memory. `strict` also holds back other answers. A
first configuration has no gate, as there is none to compare it with; its models have answered their input examples.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.core.endpoint.endpoint import ROLLBACK, Endpoint
from tidegate.core.endpoint.gate_policy import GateMode, GatePolicy
from tidegate.core.endpoint.revision import RevisionId, revision_id
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.rollout import answer_schema
from tidegate.core.rollout.baseline import baseline_of
from tidegate.core.rollout.replay import Findings, Memory, Replay, Times

# A prediction is slow if it takes more than this many times the earlier duration, and this many seconds more.
SLOWER_TIMES, SLOWER_SECONDS = 3.0, 0.0002
# At least this many predictions must have been timed on each side.
FEWEST_TIMED = 5
# A replica may use this many times the baseline's memory.
MEMORY_TIMES = 2.0
# Memory grows without end if each half of a replay adds more than this share of it, and more than this many bytes.
_GROWTH_SHARE, _GROWTH_BYTES = 0.005, 1024 * 1024
# The second half must add more than this share of what the first has added: the growth of a warm-up slows down.
_STEADY = 0.5


@dataclass(frozen=True, slots=True)
class GateDefaults:
    """The platform's policy, and the time limit of a replay in seconds."""

    policy: GatePolicy = field(default_factory=GatePolicy)
    seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a configuration has passed, and if not, the reasons. `report` has all findings as JSON."""

    passed: bool
    reasons: tuple[str, ...]
    report: str

    @property
    def sentence(self) -> str:
        """Why the configuration is held back."""
        return f"The gate holds it back: {'; '.join(self.reasons)}."


def replays_of(endpoint: Endpoint, gate: GateDefaults) -> tuple[Replay, ...]:
    """The replays that are due before an endpoint is switched to its pending configuration; none where it has no gate.

    Only new served entities are tried. Those of the active configuration serve already.
    """
    new = _new_entities(endpoint, gate)
    if not new or endpoint.pending is None:
        return ()
    attempt = f"{endpoint.id} {endpoint.generation} {endpoint.pending.config.version}"
    return tuple(_replay(endpoint, attempt, entity, gate.seconds / len(new)) for entity in new)


def is_replayed_on(endpoint: Endpoint, entity: ServedEntity, gate: GateDefaults) -> bool:
    """Whether requests are replayed on a served entity, which needs a replica for that."""
    return entity.may_be_tried and policy_of(endpoint, gate).record and entity in _new_entities(endpoint, gate)


def policy_of(endpoint: Endpoint, gate: GateDefaults) -> GatePolicy:
    """The endpoint's own policy, or the platform's."""
    return endpoint.gate or gate.policy


def judge(
    endpoint: Endpoint, policy: GatePolicy, found: Mapping[str, Findings], replays: Sequence[Replay]
) -> Judgement:
    """Judge a pending configuration by the findings of all of its replays."""
    names = _names(endpoint)
    reasons = [
        reason if len(replays) == 1 else f"'{names[replay.candidate]}': {reason}"
        for replay in replays
        for reason in _reasons(found[replay.id], policy)
    ]
    entities = {names[replay.candidate]: _report_of(found[replay.id]) for replay in replays}
    verdict = "held_back" if reasons else "passed"
    report = {"verdict": verdict, "mode": policy.mode.value, "reasons": reasons, "served_entities": entities}
    return Judgement(not reasons, tuple(reasons), json.dumps(report))


def report_without_gate(endpoint: Endpoint, policy: GatePolicy) -> str:
    """The report on a switch without a gate: that it was forced, or empty."""
    pending = endpoint.pending
    if pending is not None and endpoint.active is not None and pending.forced and pending.by != ROLLBACK:
        return json.dumps({"verdict": "forced", "mode": policy.mode.value, "reasons": [], "served_entities": {}})
    return ""


# --- replays


def _new_entities(endpoint: Endpoint, gate: GateDefaults) -> list[ServedEntity]:
    """The new served entities of a pending configuration; none where it has no gate."""
    pending, active = endpoint.pending, endpoint.active
    if pending is None or active is None or pending.forced or policy_of(endpoint, gate).mode is GateMode.OFF:
        return []
    return [entity for entity in pending.config.served_entities if entity not in active.served_entities]


def _replay(endpoint: Endpoint, attempt: str, entity: ServedEntity, seconds: float) -> Replay:
    assert endpoint.pending is not None and endpoint.active is not None
    before = baseline_of(entity, endpoint.pending.config, endpoint.active)
    candidate = revision_id(endpoint.id, entity)
    baseline = revision_id(endpoint.id, before) if before is not None else None
    identity = hashlib.sha256(f"{attempt} {candidate} {baseline}".encode()).hexdigest()[:16]
    strangers, siblings = list[RevisionId](), list[RevisionId]()
    for other in endpoint.active.served_entities:
        if other != before:
            alike = before is not None and other.model.name == before.model.name
            (siblings if alike else strangers).append(revision_id(endpoint.id, other))
    return Replay(identity, endpoint.name, candidate, baseline, seconds, tuple(strangers), tuple(siblings))


def _names(endpoint: Endpoint) -> dict[str, str]:
    assert endpoint.pending is not None
    return {revision_id(endpoint.id, entity): entity.name for entity in endpoint.pending.config.served_entities}


# --- reasons


def _reasons(found: Findings, policy: GatePolicy) -> Iterator[str]:
    """The reasons to hold a configuration back as phrases, the gravest first."""
    of = f"of {found.requests} replayed requests"
    if found.unavailable:
        yield f"it could not be tried: {_phrase(found.unavailable)}"
    if found.crashes:
        yield f"its process ended at {found.crashes} {of}: {_phrase(found.crash)}"
    if found.hangs:
        yield f"{found.hangs} {of} hung: {_phrase(found.hang)}"
    if found.errors:
        yield f"{found.errors} {of} failed that were answered before: {_phrase(found.error)}"
    if shape := schema_changes(found):
        yield f"its answers have another schema: {', '.join(shape[:5])}"
    if found.new_nulls:
        yield f"{found.new_nulls} of {found.compared} answers have no value (NaN) where there was one"
    if is_slow(found.baseline, found.candidate):
        before, after = found.baseline.median, found.candidate.median
        yield f"a prediction takes {_times(before, after)} as long: {_ms(after)} instead of {_ms(before)}"
    yield from _memory_reasons(found.memory)
    if policy.mode is GateMode.STRICT and changed_share(found) > policy.max_changed_share:
        allowed = f"`strict` allows {policy.max_changed_share:.1%}"
        yield f"{found.changed} of {found.compared} answers changed ({changed_share(found):.1%}; {allowed})"


def schema_changes(found: Findings) -> list[str]:
    """The differences in the form of the answers."""
    if not found.compared:
        return []
    rows = [f"{found.rows[1]} predictions instead of {found.rows[0]}"] if found.rows else []
    return rows + answer_schema.changes(found.before, found.after)


def changed_share(found: Findings) -> float:
    """The share of compared answers that changed."""
    return found.changed / found.compared if found.compared else 0.0


def is_slow(before: Times, after: Times) -> bool:
    """Whether predictions take far longer than before, with enough of them timed."""
    return min(before.count, after.count) >= FEWEST_TIMED and seems_slow(before, after)


def seems_slow(before: Times, after: Times) -> bool:
    """Whether predictions take far longer than before, however few were timed."""
    if not (before.count and after.count):
        return False
    return after.median > SLOWER_TIMES * before.median and after.median - before.median > SLOWER_SECONDS


def _memory_reasons(memory: Memory) -> Iterator[str]:
    marks = memory.candidate
    if marks and memory.baseline and marks[-1] > MEMORY_TIMES * memory.baseline:
        yield f"a replica uses {marks[-1] / memory.baseline:.1f} times the memory: {_mb(marks[-1])}"
    if is_growing(marks):
        yield f"its memory grows: by {_mb(marks[1] - marks[0])}, then {_mb(marks[2] - marks[1])}, to {_mb(marks[2])}"


def is_growing(marks: Sequence[int]) -> bool:
    """Whether three measurements of memory show a growth without end."""
    if len(marks) != 3 or not marks[0]:
        return False
    first, second = marks[1] - marks[0], marks[2] - marks[1]
    least = max(_GROWTH_BYTES, _GROWTH_SHARE * marks[0])
    return first > least and second > least and second > _STEADY * first


# --- the report


def _report_of(found: Findings) -> dict[str, Any]:
    """One served entity's part of the report: durations in milliseconds, memory in bytes, null where not measured."""
    compared = bool(found.compared)
    marks = found.memory.candidate
    return {
        "requests": found.requests,
        "seconds": round(found.seconds, 3),
        "errors": {"count": found.errors, "first": found.error},
        "crashes": {"count": found.crashes, "first": found.crash},
        "hangs": {"count": found.hangs, "first": found.hang},
        "unavailable": found.unavailable,
        "answers": {
            "compared": found.compared,
            "exact": found.exact,
            "within_tolerance": found.close,
            "changed": found.changed,
            "changed_share": round(changed_share(found), 6) if compared else None,
            "largest_difference": found.largest_difference,
            "new_nulls": found.new_nulls,
        },
        "schema": {
            "changes": schema_changes(found),
            "before": {path: sorted(kinds) for path, kinds in sorted(found.before.items())},
            "after": {path: sorted(kinds) for path, kinds in sorted(found.after.items())},
        },
        "latency": {
            "before_ms": _millis(found.baseline.median, found.baseline.count),
            "after_ms": _millis(found.candidate.median, found.candidate.count),
            "batch": found.candidate.batch,
            "timed": found.candidate.count,
        },
        "memory": {
            "before_bytes": found.memory.baseline or None,
            "after_bytes": marks[-1] if marks else None,
            "marks_bytes": list(marks),
        },
    }


def _phrase(sentence: str) -> str:
    """A sentence as a phrase at the end of another one."""
    return sentence.strip().rstrip(".")


def _times(before: float, after: float) -> str:
    return f"{after / before:.1f} times" if before else "many times"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def _mb(amount: float) -> str:
    return f"{amount / 1e6:.0f} MB"


def _millis(seconds: float, count: int) -> float | None:
    return round(seconds * 1000, 3) if count else None
