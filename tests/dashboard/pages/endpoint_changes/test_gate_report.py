"""The gate's report as a page's view model."""

import json
from typing import Any

import pytest

from tests.core.examples import a_config, an_endpoint, an_entity
from tidegate.core.endpoint.endpoint import PendingConfig
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.rollout.gate import GateDefaults, judge, replays_of
from tidegate.core.rollout.replay import Findings, Memory, Times
from tidegate.dashboard.pages.endpoint_changes.gate_report import GateReport, Pair, SchemaLine, gate_report
from tidegate.dashboard.stacked_bar import stacked

MB = 1_000_000


def a_report(**found: Any) -> str:
    """The gate's own report on an update of `wine` to version 2."""
    update = PendingConfig(a_config(an_entity("wine-2", version="2"), version=2), 1.0)
    endpoint = an_endpoint(active=a_config(), pending=update)
    (replay,) = replays_of(endpoint, GateDefaults())
    return judge(endpoint, GatePolicy(), {replay.id: Findings(replay.id, **found)}, [replay]).report


def shown(**found: Any) -> GateReport:
    report = gate_report(a_report(**found))
    assert report is not None
    return report


def test_a_version_that_is_held_back_has_its_reasons_and_its_requests_add_up() -> None:
    found = shown(
        requests=500,
        compared=496,
        exact=480,
        close=10,
        changed=6,
        errors=4,
        error="ValueError: <b>no</b>",
        seconds=0.31,
    )
    (entity,) = found.entities
    assert found.verdict == "held back"
    assert found.sentence.startswith("Held back: 4 of 500 replayed requests failed")
    assert [(part.label, part.value) for part in entity.answers] == [
        ("exact", 480),
        ("within tolerance", 10),
        ("changed", 6),
        ("failed", 4),
        ("not compared", 0),
    ]
    assert sum(part.width for part in entity.answers) == pytest.approx(1000, abs=0.1)
    assert entity.failures[0].first == "ValueError: <b>no</b>"
    assert entity.said == "480 exact, 10 within tolerance, 6 changed, 4 failed"


def test_the_schema_marks_what_the_gate_calls_a_change_and_nothing_else() -> None:
    found = shown(
        requests=9,
        compared=9,
        before={"a": frozenset({"float"}), "b": frozenset({"float", "null"}), "c": frozenset({"string"})},
        after={"a": frozenset({"string"}), "b": frozenset({"float"}), "d": frozenset({"integer"})},
    )
    assert found.entities[0].schema == (
        SchemaLine("a", "float", "string", "changed"),
        SchemaLine("c", "string", "", "gone"),
        SchemaLine("d", "", "integer", "new"),
        SchemaLine("b", "float or null", "float", ""),
    )


def test_the_whole_answer_stands_before_its_parts() -> None:
    kinds = {path: frozenset({"object"}) for path in ("predictions", "the answer", "a")}
    (entity,) = shown(requests=1, compared=1, exact=1, before=kinds, after=kinds).entities
    assert [line.path for line in entity.schema] == ["the answer", "a", "predictions"]


def test_times_and_memory_are_pairs() -> None:
    found = shown(
        requests=9,
        compared=9,
        exact=9,
        baseline=Times(0.0004, 9),
        candidate=Times(0.0006, 9),
        memory=Memory(180 * MB, (181 * MB, 181 * MB, 182 * MB)),
    ).entities[0]
    assert found.latency.times == pytest.approx(1.5)
    assert found.memory == Pair(180 * MB, 182 * MB)
    assert Pair(None, 3.0).times is Pair(0.0, 3.0).times is Pair(3.0).times is None


def test_a_version_that_was_not_compared_says_so() -> None:
    assert shown().sentence.startswith("Nothing was compared")
    assert shown(requests=3, compared=3, exact=3).sentence.startswith("Passed: 3 replayed requests")
    forced = gate_report(json.dumps({"verdict": "forced", "mode": "safe", "reasons": [], "served_entities": {}}))
    assert forced is not None
    assert forced.sentence.startswith("The gate was skipped")


@pytest.mark.parametrize("text", ["", "x", "[]", "null", "3"])
def test_what_is_no_report_is_none(text: str) -> None:
    assert gate_report(text) is None


@pytest.mark.parametrize(
    "value", [None, [], {}, "x", -1, True, 1e300, [None, "x"], {"a": []}, {"count": "x"}, {"before": [1], "after": 3}]
)
def test_a_report_of_any_shape_is_shown(value: object) -> None:
    parts = ("requests", "seconds", "errors", "answers", "schema", "latency", "memory", "unavailable")
    for part in parts:
        found = gate_report(json.dumps({"verdict": value, "reasons": value, "served_entities": {"e": {part: value}}}))
        assert found is not None
        assert found.sentence
        assert found.entities[0].said


def test_a_bar_without_a_whole_has_no_width() -> None:
    assert [part.width for part in stacked([("a", 0.0), ("b", -1.0)])] == [0.0, 0.0]
    assert [(part.x, part.width) for part in stacked([("a", 1.0), ("b", 3.0)])] == [(0.0, 250.0), (250.0, 750.0)]
