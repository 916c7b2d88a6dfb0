"""A replica is ended at its caller's deadline, never for being slow, and whatever its model did to the alarm.

`python -m bench.deadlines` measures the same at full size.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def endpoints(house: Platform) -> Iterator[Platform]:
    """`patient` gives a request 30 s, `brief` 1 s; both go to zero."""
    register(house, "crowded", "moods")
    for name, seconds in (("patient", 30), ("brief", 1)):
        house.launch(name, "moods", timeout_seconds=seconds, scale_to_zero_enabled=True, idle_timeout_seconds=1)
    yield house
    with house.client() as client:
        for name in ("patient", "brief"):
            client.delete(f"/api/2.0/serving-endpoints/{name}")


def ask(running: Platform, name: str, mood: str, rows: int = 1) -> int:
    """The status of a request."""
    request = {"dataframe_records": [{"x": n / 4, "mood": mood} for n in range(rows)]}
    return running.score(name, request, timeout=60).status_code


def told(running: Platform, name: str, kind: str) -> list[str]:
    """The messages of its events of a type."""
    with running.client() as client:
        events = client.get(f"/api/tidegate/v1/endpoints/{name}/events").json()["events"]
    return [event["message"] for event in events if event["type"] == kind]


def ended(running: Platform, name: str) -> list[str]:
    """What is told of replicas that ended without being asked to."""
    return told(running, name, "replica_ended")


def starts(running: Platform, name: str) -> int:
    """How many replicas of it have begun."""
    return running.log(name).count("loading ")


def test_many_rows_right_after_a_scale_to_zero_are_predicted_once(endpoints: Platform) -> None:
    until(lambda: bool(told(endpoints, "patient", "scaled_to_zero")), 30)
    before = starts(endpoints, "patient")
    assert ask(endpoints, "patient", "sleep 0.006", 220) == 200  # 1.3 s; of a row, nothing is known yet
    assert starts(endpoints, "patient") == before + 1
    assert ended(endpoints, "patient") == []


def test_one_that_takes_far_longer_than_usual_holds_up_nobody(endpoints: Platform) -> None:
    for _ in range(5):
        assert ask(endpoints, "patient", "fine") == 200  # what is usual
    with ThreadPoolExecutor(16) as callers:
        slow = callers.submit(ask, endpoints, "patient", "sleep 3")
        others = [callers.submit(ask, endpoints, "patient", "fine") for _ in range(12)]
        assert [other.result() for other in others] == [200] * 12
        assert not slow.done()
        assert slow.result() == 200
    assert ended(endpoints, "patient") == []


def test_requests_that_take_the_alarm_away_and_hang_do_not_take_the_endpoint_down(endpoints: Platform) -> None:
    with ThreadPoolExecutor(4) as callers:
        hung = [callers.submit(ask, endpoints, "brief", "deaf") for _ in range(4)]
        assert {one.result() for one in hung} <= {503, 504}
    until(lambda: ask(endpoints, "brief", "fine") == 200, 30)
    # The owner hears of one end a minute: on a busy machine, of one whose time was up before it took the alarm away.
    until(lambda: any("its deadline" in message for message in ended(endpoints, "brief")), 30)
    agent_log = endpoints.data_dir / "logs" / "agent.log"
    until(lambda: "its own alarm did not end it" in agent_log.read_text(), 30)
