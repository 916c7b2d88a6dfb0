"""What is replayed before a switch, and what holds a configuration back: each reason at its bound and just over it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.core.examples import a_config, a_created_endpoint, an_entity, rid
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.gate_policy import GateMode, GatePolicy
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.rollout.gate import (
    GateDefaults,
    is_growing,
    is_replayed_on,
    judge,
    policy_of,
    replays_of,
    report_without_gate,
    seems_slow,
)
from tidegate.core.rollout.replay import Findings, Memory, Replay, Times

ONE, TWO = an_entity(), an_entity("wine-2", version="2")
SERVING = a_created_endpoint().promoted(1.0)
UPDATING = SERVING.with_update(a_config(TWO, version=2), 2.0)
GATE = GateDefaults()
SAFE, STRICT = GatePolicy(), GatePolicy(GateMode.STRICT)
MB = 1024 * 1024


def serving(*entities: ServedEntity) -> Endpoint:
    """An endpoint that serves these."""
    return a_created_endpoint(a_config(*entities)).promoted(1.0)


def asked(endpoint: Endpoint, *entities: ServedEntity) -> tuple[Replay, ...]:
    """What is replayed before these take the place of what serves."""
    return replays_of(endpoint.with_update(a_config(*entities, version=2), 2.0), GATE)


# --- what is replayed


def test_the_new_version_is_tried_beside_the_one_that_serves() -> None:
    [replay] = replays_of(UPDATING, GATE)
    assert replay == Replay(replay.id, "wine", rid(SERVING, TWO), rid(SERVING, ONE), 0.5)


@pytest.mark.parametrize(
    "endpoint",
    [
        a_created_endpoint(),  # nothing serves yet
        SERVING,  # nothing is on its way
        SERVING.with_update(a_config(TWO, version=2), 2.0, forced=True),
        UPDATING.promoted(3.0).rolled_back(4.0),
        replace(UPDATING, gate=GatePolicy(GateMode.OFF)),
        SERVING.with_update(a_config(ONE, version=2), 2.0),  # nothing is new
    ],
)
def test_where_there_is_nothing_to_try_there_is_no_gate(endpoint: Endpoint) -> None:
    assert replays_of(endpoint, GATE) == ()


def test_an_endpoints_own_policy_goes_before_the_platforms() -> None:
    off = GateDefaults(GatePolicy(GateMode.OFF))
    assert replays_of(UPDATING, off) == ()
    assert replays_of(replace(UPDATING, gate=STRICT), off)
    assert policy_of(UPDATING, off) is off.policy
    assert policy_of(replace(UPDATING, gate=STRICT), off) is STRICT


def test_only_what_is_new_is_tried_and_the_time_is_shared() -> None:
    a, b, c = (an_entity(name, name) for name in "abc")
    newer, slower = an_entity("b", "b", "2"), replace(c, timeout_seconds=5.0)
    tried = asked(serving(a, b, c), a, newer, slower)
    assert [(replay.candidate, replay.seconds) for replay in tried] == [
        (rid(SERVING, newer), 0.25),
        (rid(SERVING, slower), 0.25),
    ]


def test_what_is_new_is_asked_where_requests_are_kept_and_may_be_asked_twice() -> None:
    assert is_replayed_on(UPDATING, TWO, GATE)
    assert not is_replayed_on(UPDATING, ONE, GATE)  # it serves already
    assert not is_replayed_on(SERVING.with_update(a_config(TWO, version=2), 2.0, forced=True), TWO, GATE)
    assert not is_replayed_on(replace(UPDATING, gate=replace(SAFE, record=False)), TWO, GATE)
    assert not is_replayed_on(UPDATING, TWO, GateDefaults(replace(SAFE, record=False)))
    once = replace(TWO, retry_on_crash=False)
    assert not is_replayed_on(SERVING.with_update(a_config(once, version=2), 2.0), once, GATE)


A, B = an_entity("a", "wine"), an_entity("b", "tea")
NAMED, ALIKE, OTHER = an_entity("a", "tea", "2"), an_entity("new", "tea", "2"), an_entity("new", "milk")


@pytest.mark.parametrize(
    ("before", "entity", "baseline"),
    [
        ((A, B), NAMED, A),  # of the same name, whatever its model
        ((A, B), ALIKE, B),  # of the same model
        ((A,), OTHER, A),  # the only one
        ((A, B), OTHER, None),
    ],
)
def test_with_whom_it_is_compared(
    before: tuple[ServedEntity, ...], entity: ServedEntity, baseline: ServedEntity | None
) -> None:
    [replay] = asked(serving(*before), entity)
    assert replay.baseline == (None if baseline is None else rid(SERVING, baseline))


def test_what_others_answer_that_serve_beside_it_is_not_its_to_answer() -> None:
    [replay] = asked(serving(A, B), A, ALIKE)
    assert (replay.baseline, replay.strangers, replay.siblings) == (rid(SERVING, B), (rid(SERVING, A),), ())
    [replay] = asked(serving(A, B), A, B, OTHER)
    assert (replay.baseline, replay.strangers) == (None, (rid(SERVING, A), rid(SERVING, B)))
    [replay] = asked(serving(ONE, TWO, B), ONE, B, an_entity("wine-3", version="3"))
    assert (replay.baseline, replay.siblings) == (rid(SERVING, TWO), (rid(SERVING, ONE),))
    assert replay.strangers == (rid(SERVING, B),)


def test_an_attempt_keeps_its_ids_and_another_one_has_its_own() -> None:
    def ids(endpoint: Endpoint) -> list[str]:
        return [replay.id for replay in replays_of(endpoint, GATE)]

    [first] = ids(UPDATING)
    assert ids(replace(UPDATING, description="x", tags=(("a", "b"),), updated_at=99.0, gate=STRICT)) == [first]
    again = UPDATING.update_failed("no").with_update(a_config(TWO, version=3), 3.0)
    renewed = UPDATING.with_update(a_config(TWO, version=2), 2.0)
    assert len({first, *ids(again), *ids(renewed), *ids(replace(UPDATING, id="another"))}) == 4


# --- what holds it back


def reasons(found: Findings, policy: GatePolicy = SAFE) -> tuple[str, ...]:
    [replay] = replays_of(UPDATING, GATE)
    judgement = judge(UPDATING, policy, {replay.id: found}, (replay,))
    assert judgement.passed is (not judgement.reasons)
    return judgement.reasons


def found(**fields: Any) -> Findings:
    return Findings("x", requests=500, compared=400, **fields)


FLOATS, STRINGS = {"predictions[]": frozenset({"float"})}, {"predictions[]": frozenset({"string"})}
BEFORE = Times(0.001, 5)

HOLDS_BACK = [
    ({"errors": 4, "error": "ValueError: no."}, "4 of 500 replayed requests failed that were answered before"),
    ({"crashes": 1, "crash": "It ended."}, "its process ended at 1 of 500 replayed requests: It ended"),
    ({"hangs": 1, "hang": "No answer."}, "1 of 500 replayed requests hung: No answer"),
    ({"unavailable": "It is away."}, "it could not be tried: It is away"),
    ({"before": FLOATS, "after": STRINGS}, "its answers have another schema: predictions[] is string instead of float"),
    ({"before": FLOATS, "after": {}}, "its answers have another schema: predictions[] is gone"),
    ({"rows": (2, 1)}, "its answers have another schema: 1 predictions instead of 2"),
    ({"new_nulls": 1}, "1 of 400 answers have no value (NaN) where there was one"),
    ({"baseline": BEFORE, "candidate": Times(0.00301, 5)}, "a prediction takes 3.0 times as long: 3.01 ms instead of"),
    ({"baseline": Times(0.0, 5), "candidate": Times(0.0003, 5)}, "a prediction takes many times as long: 0.30 ms"),
    ({"memory": Memory(100_000_000, (1, 200_000_001))}, "a replica uses 2.0 times the memory: 200 MB"),
    ({"memory": Memory(0, (100 * MB, 102 * MB, 104 * MB))}, "its memory grows: by 2 MB, then 2 MB, to 109 MB"),
]


@pytest.mark.parametrize("policy", [SAFE, STRICT], ids=["safe", "strict"])
@pytest.mark.parametrize(("fields", "phrase"), HOLDS_BACK)
def test_what_breaks_a_caller_is_held_back_in_both_modes(
    fields: dict[str, Any], phrase: str, policy: GatePolicy
) -> None:
    [reason] = reasons(found(**fields), policy)
    assert reason.startswith(phrase)
    assert not reason.endswith(".")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"exact": 100, "close": 300, "largest_difference": 9e-6},
        {"changed": 20},  # a share of 0.05
        {"before": FLOATS, "after": FLOATS},
        {"baseline": BEFORE, "candidate": Times(0.003, 5)},  # three times as long
        {"baseline": Times(0.00001, 5), "candidate": Times(0.0002, 5)},  # no more than noise
        {"baseline": Times(0.001, 4), "candidate": Times(9.0, 5)},  # too few were timed
        {"baseline": BEFORE, "candidate": Times(9.0, 4)},
        {"memory": Memory(100_000_000, (1, 200_000_000))},  # twice
        {"memory": Memory(0, (0, 900_000_000))},  # nobody knows what it was
        {"memory": Memory(100_000_000, ())},
    ],
)
def test_up_to_the_bound_it_passes_in_both_modes(fields: dict[str, Any]) -> None:
    assert reasons(found(**fields)) == reasons(found(**fields), STRICT) == ()


def test_what_was_timed_too_seldom_may_seem_slow() -> None:
    assert seems_slow(Times(0.001, 1), Times(0.00301, 1))
    assert not seems_slow(Times(0.001, 1), Times(0.003, 1))
    assert not seems_slow(Times(), Times(9.0, 9))
    assert not seems_slow(Times(0.001, 9), Times())


def test_where_nothing_was_recorded_it_passes() -> None:
    assert reasons(Findings("x")) == reasons(Findings("x"), STRICT) == ()


def test_changed_answers_are_held_back_in_strict_only_and_over_its_share() -> None:
    assert reasons(found(changed=400)) == ()
    assert reasons(found(changed=21), STRICT) == ("21 of 400 answers changed (5.2%; `strict` allows 5.0%)",)
    exact = replace(STRICT, max_changed_share=0.0)
    assert reasons(found(changed=0), exact) == ()
    assert len(reasons(found(changed=1), exact)) == 1
    assert reasons(found(changed=400), replace(STRICT, max_changed_share=1.0)) == ()


def test_a_schema_is_only_told_where_answers_were_compared() -> None:
    assert reasons(Findings("x", requests=9, before=FLOATS)) == ()


def test_the_gravest_reason_comes_first_and_the_sentence_has_all() -> None:
    grave = found(errors=2, error="No", crashes=1, crash="It ended", new_nulls=3)
    [replay] = replays_of(UPDATING, GATE)
    judgement = judge(UPDATING, SAFE, {replay.id: grave}, (replay,))
    assert judgement.sentence == (
        "The gate holds it back: its process ended at 1 of 500 replayed requests: It ended; 2 of 500 replayed requests "
        "failed that were answered before: No; 3 of 400 answers have no value (NaN) where there was one."
    )


def test_of_many_changes_of_the_schema_five_are_told() -> None:
    gone = {f"p.{letter}": frozenset({"float"}) for letter in "abcdefg"}
    [reason] = reasons(found(before=gone))
    assert reason.count("is gone") == 5


def test_of_several_candidates_each_reason_has_a_name() -> None:
    newer = an_entity("b", "tea", "2")
    endpoint = serving(A, B).with_update(a_config(replace(A, timeout_seconds=1.0), newer, version=2), 2.0)
    first, second = replays_of(endpoint, GATE)
    judgement = judge(endpoint, SAFE, {first.id: found(), second.id: found(errors=1, error="No")}, (first, second))
    assert judgement.reasons == ("'b': 1 of 500 replayed requests failed that were answered before: No",)
    assert json.loads(judgement.report)["served_entities"].keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("marks", "grows"),
    [
        ((100 * MB, 102 * MB, 104 * MB), True),
        ((100 * MB, 104 * MB, 106 * MB + 1), True),
        ((100 * MB, 104 * MB, 106 * MB), False),  # half as much: it is warming up
        ((100 * MB, 101 * MB, 102 * MB), False),  # 1 MiB each
        ((100 * MB, 101 * MB + 1, 102 * MB + 2), True),
        ((1000 * MB, 1005 * MB, 1010 * MB), False),  # 0.5 % each
        ((1000 * MB, 1005 * MB + 1, 1010 * MB + 2), True),
        ((100 * MB, 102 * MB, 102 * MB), False),
        ((100 * MB, 100 * MB, 104 * MB), False),
        ((0, 102 * MB, 204 * MB), False),  # unknown
        ((100 * MB, 204 * MB), False),
        ((), False),
    ],
)
def test_memory_grows_when_each_half_adds_to_it(marks: Sequence[int], grows: bool) -> None:
    assert is_growing(marks) is grows


# --- the report


def documented() -> dict[str, Any]:
    """The example of the documentation."""
    text = (Path(__file__).parents[3] / "docs" / "gate.md").read_text()
    return dict(json.loads(text.split("```json\n")[1].split("```")[0]))


def keys(value: object) -> object:
    """A JSON value's fields, all the way down to what depends on the data."""
    if isinstance(value, dict):
        return {key: keys(inner) if key not in ("before", "after") else None for key, inner in value.items()}
    return None


def test_the_report_has_the_fields_of_the_documentation() -> None:
    [replay] = replays_of(UPDATING, GATE)
    whole = found(
        errors=4,
        error="ValueError: no",
        exact=380,
        close=14,
        changed=6,
        largest_difference=0.25,
        before=FLOATS,
        after=FLOATS,
        baseline=Times(0.00041, 9),
        candidate=Times(0.00043, 9, 3),
        memory=Memory(181, (180, 182, 183)),
        seconds=0.3142,
    )
    report = json.loads(judge(UPDATING, SAFE, {replay.id: whole}, (replay,)).report)
    example = documented()
    example["served_entities"]["wine-2"] = example["served_entities"].pop("wine-3")
    assert keys(report) == keys(example)
    assert (report["verdict"], report["mode"], len(report["reasons"])) == ("held_back", "safe", 1)
    told = report["served_entities"]["wine-2"]
    assert (told["requests"], told["seconds"], told["errors"]) == (500, 0.314, {"count": 4, "first": "ValueError: no"})
    assert told["answers"] == {
        "compared": 400,
        "exact": 380,
        "within_tolerance": 14,
        "changed": 6,
        "changed_share": 0.015,
        "largest_difference": 0.25,
        "new_nulls": 0,
    }
    assert told["schema"] == {
        "changes": [],
        "before": {"predictions[]": ["float"]},
        "after": {"predictions[]": ["float"]},
    }
    assert told["latency"] == {"before_ms": 0.41, "after_ms": 0.43, "batch": 3, "timed": 9}
    assert told["memory"] == {"before_bytes": 181, "after_bytes": 183, "marks_bytes": [180, 182, 183]}


def test_what_was_not_measured_is_null() -> None:
    [replay] = replays_of(UPDATING, GATE)
    report = json.loads(judge(UPDATING, STRICT, {replay.id: Findings(replay.id)}, (replay,)).report)
    assert (report["verdict"], report["mode"], report["reasons"]) == ("passed", "strict", [])
    told = report["served_entities"]["wine-2"]
    assert told["answers"]["changed_share"] is None
    assert (told["latency"]["before_ms"], told["latency"]["after_ms"]) == (None, None)
    assert told["memory"] == {"before_bytes": None, "after_bytes": None, "marks_bytes": []}


def test_what_was_forced_is_on_record_and_nothing_else_that_no_gate_looked_at() -> None:
    forced = SERVING.with_update(a_config(TWO, version=2), 2.0, forced=True)
    assert json.loads(report_without_gate(forced, STRICT)) == {
        "verdict": "forced",
        "mode": "strict",
        "reasons": [],
        "served_entities": {},
    }
    first = replace(a_created_endpoint(), pending=replace(forced.pending, forced=True)) if forced.pending else None
    assert first is not None
    for endpoint in (first, UPDATING, SERVING, UPDATING.promoted(3.0).rolled_back(4.0)):
        assert report_without_gate(endpoint, SAFE) == ""
