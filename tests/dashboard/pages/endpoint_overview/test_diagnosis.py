"""The diagnosis of an endpoint: one sentence for each thing that can be wrong, what hurts most first."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.endpoints.endpoint_summary import STATES
from tidegate.control.endpoints.endpoint_views import RunningView
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.rollout.switch import Side, Switch
from tidegate.core.series.latency_histogram import bucket_of
from tidegate.core.series.series_point import SeriesPoint
from tidegate.dashboard.pages.endpoint.endpoint_frame import TABS
from tidegate.dashboard.pages.endpoint_overview.diagnosis import Situation, diagnosis

NOW = 1_000_000.0
STEPS = (0.0002, 0.0001, 0.0004, 0.0025, 0.0002, 0.0006)  # of one request, seconds


def a_point(
    requests: int = 1000, latency: float = 0.004, steps: tuple[float, ...] = STEPS, **fields: Any
) -> SeriesPoint:
    """Five minutes with so many answers, each as long as the next."""
    usual: dict[str, Any] = {
        "answered": requests,
        "statuses": {200: requests},
        "latency": {bucket_of(latency): requests} if requests else {},
        "stepped": requests,
        "steps": tuple(step * requests for step in steps),
    }
    return SeriesPoint(NOW - 300, 300.0, **usual | fields)


def a_switch(seconds_ago: float) -> Switch:
    old, new = (Side(number, {"wine": ModelVersion("wine", str(number + 5))}) for number in (1, 2))
    return Switch("id", NOW - seconds_ago, "anna", old, new)


def a_situation(**fields: Any) -> Situation:
    usual: dict[str, Any] = {
        "state": "ready",
        "version": "v7",
        "running": RunningView(2, 2, 1, 4),
        "recent": a_point(),
        "hour_ago": a_point(),
    }
    return Situation(NOW, **usual | fields)


SLOW = a_point(latency=0.035, steps=(*STEPS[:3], STEPS[3] + 0.031, *STEPS[4:]))
SLEEPY = SeriesPoint(0.0, 86_400.0, cold={"fork total": (10, 0.3), "fork load": (10, 0.1)})
# The old version's slowest requests were as slow as all of the new one's.
SPIKES = replace(a_point(), latency={bucket_of(0.004): 980, bucket_of(0.035): 20})
SAID = {
    "Healthy: 3.3 requests/s, p99 4.0 ms, no errors. The model is 62 % of a request's time.": {},
    "Healthy: 3.3 requests/s, p99 4.0 ms, no errors. 67 % of a request's time is receiving and sending.": {
        "recent": a_point(steps=(*STEPS[:5], 0.007))
    },
    "Healthy: no request in the last 5 minutes, and 2 replicas are ready.": {"recent": a_point(0)},
    "Asleep: the next request wakes it in about 30 ms.": {"state": "asleep", "recent": a_point(0), "day": SLEEPY},
    "Asleep: the next request wakes it.": {"state": "asleep", "recent": a_point(0)},
    "p99 is 9x that of before version 7 took over 12 min ago: 35.2 ms, was 4.0. Predict takes 31.0 ms more. "
    "That is the model itself.": {"recent": SLOW, "switch": a_switch(720), "before": a_point()},
    "p99 is 9x that of an hour ago: 35.2 ms, was 4.0. Predict takes 31.0 ms more. That is the model itself.": {
        "recent": SLOW
    },
    "p99 is 9x that of an hour ago: 35.2 ms, was 4.0. No step takes longer on average: the slowest requests show "
    "where.": {"recent": a_point(latency=0.035)},
    "p50 is 9x that of before version 7 took over 60 s ago: 35.2 ms, was 4.0. Predict takes 31.0 ms more. "
    "That is the model itself.": {
        "recent": a_point(), "since_switch": SLOW, "switch": a_switch(60), "before": SPIKES
    },
    "Healthy: 3.3 requests/s, p99 4.0 ms, no errors. The model is 62 % of a request's time. ": {
        "recent": SLOW, "since_switch": a_point(), "switch": a_switch(60), "before": SLOW
    },
    "100 % of the requests of the last 60 s failed: 200 by errors of the model or of its code (500). It was 0 % "
    "before version 7 took over 60 s ago: roll back, or see its log.": {
        "recent": a_point(statuses={200: 800, 500: 200}), "before": a_point(), "switch": a_switch(60),
        "since_switch": replace(a_point(200, statuses={500: 200}), seconds=60.0),
    },
    "68 % of a request's time is waiting for a replica: all 2 replicas are in use, and its limit is 2. A larger size "
    "allows more.": {"recent": a_point(steps=(0.008, *STEPS[1:])), "running": RunningView(2, 2, 1, 2)},
    "68 % of a request's time is waiting for a replica: the one replica is in use; one more is being started.": {
        "recent": a_point(steps=(0.008, *STEPS[1:])), "running": RunningView(1, 2, 1, 4),
    },
    "10 % of the requests of the last 5 minutes failed: 100 by errors of the model or of its code (500). The log has "
    "the model's own words.": {"recent": a_point(statuses={200: 900, 500: 100})},
    "10 % of the requests of the last 5 minutes failed: 100 by errors of the model or of its code (500). It was 0 % "
    "before version 7 took over 60 s ago: roll back, or see its log.": {
        "recent": a_point(statuses={200: 900, 500: 100}), "switch": a_switch(60), "before": a_point(),
    },
    "30 % of the requests of the last 5 minutes were refused: 300 by bodies that the model's signature refuses (400). "
    "The newest errors have the reason in a sentence.": {"recent": a_point(statuses={200: 700, 400: 300})},
    "A new version is held back. The gate holds it back: 4 errors. v7 goes on serving.": {
        "held_back": "The gate holds it back: 4 errors."
    },
    "The last update failed. No version of nonsense was found. v7 goes on serving.": {
        "failed": "No version of nonsense was found"
    },
    "It does not serve. No version of nonsense was found.": {
        "state": "failed", "failed": "No version of nonsense was found.", "recent": a_point(0),
    },
    "It has no replica that can answer. There is no memory for it.": {
        "state": "recovering", "message": "There is no memory for it.", "recent": a_point(0),
    },
    "The next request may not wake it. There is no memory for 'wine-1'.": {
        "state": "asleep", "no_room": "There is no memory for 'wine-1'", "running": RunningView(0, 0, 0, 4),
    },
    "A replica uses 3.8 GB of its 4.0 GB, and is replaced above that. Choose a larger workload type.": {
        "recent": a_point(memory_bytes=7.6e9, ready=2.0), "running": RunningView(2, 2, 1, 4, 4_000_000_000),
    },
    "v8 is being prepared, and v7 serves meanwhile. It serves when it is ready and has passed the gate.": {
        "state": "updating", "pending": "v8",
    },
}  # fmt: skip


@pytest.mark.parametrize(("sentence", "fields"), SAID.items(), ids=range(len(SAID)))
def test_each_trouble_has_its_sentence(sentence: str, fields: dict[str, Any]) -> None:
    assert diagnosis(a_situation(**fields))[0].sentence == sentence.strip()


def test_what_hurts_most_comes_first() -> None:
    found = diagnosis(a_situation(held_back="4 errors", pending="v9", recent=SLOW))
    assert [finding.kind for finding in found] == ["bad", "busy", "good"]


def test_a_switch_of_days_ago_explains_nothing_and_neither_does_the_first() -> None:
    old = a_situation(recent=SLOW, switch=a_switch(90_000), before=a_point())
    first = a_situation(recent=SLOW, switch=replace(a_switch(60), before=None))
    assert all("an hour ago" in diagnosis(seen)[0].sentence for seen in (old, first))


def test_too_few_requests_are_no_reason_for_a_sentence() -> None:
    few = a_point(5, 0.5)
    assert diagnosis(a_situation(recent=few))[0].kind == "good"


counts = st.integers(0, 10_000)
points = st.builds(
    a_point,
    counts,
    st.floats(1e-5, 100.0),
    st.tuples(*[st.floats(0.0, 10.0)] * 6),
    statuses=st.dictionaries(st.sampled_from((200, 400, 429, 500, 503, 504, 599)), counts),
    memory_bytes=st.floats(0.0, 1e12),
    ready=st.floats(0.0, 100.0),
)
situations = st.builds(
    a_situation,
    state=st.sampled_from(STATES),
    message=st.text(max_size=20),
    held_back=st.text(max_size=20),
    failed=st.text(max_size=20),
    pending=st.text(max_size=5),
    running=st.builds(RunningView, *[st.integers(0, 64)] * 4, st.integers(0, 10**12)),
    recent=points,
    since_switch=st.none() | points,
    hour_ago=st.none() | points,
    switch=st.none() | st.builds(a_switch, st.floats(0.0, 1e6)),
    before=st.none() | points,
    day=points,
    why=st.text(max_size=20),
    no_room=st.text(max_size=20),
)


@given(situations)
def test_any_situation_has_findings_in_order_that_lead_to_a_tab(seen: Situation) -> None:
    found = diagnosis(seen)
    kinds = ["bad", "busy", "good"]
    assert [finding.kind for finding in found] == sorted((finding.kind for finding in found), key=kinds.index)
    assert found
    assert all(finding.sentence and (not finding.tab or finding.tab in TABS) for finding in found)
    assert len({finding.sentence for finding in found}) == len(found)
