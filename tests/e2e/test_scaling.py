"""Replicas follow the load, and none is left when none is needed."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def moody(house: Platform) -> Iterator[Platform]:
    """The shared platform with a model that sleeps when told to."""
    register(house, "moody", "scaled")
    yield house


def ready_replicas(running: Platform, name: str) -> int:
    with running.client() as client:
        found = re.findall(
            rf'tidegate_replicas{{.*endpoint="{name}".*state="ready".*}} (\d+)', client.get("/metrics").text
        )
    return sum(int(number) for number in found)


def events(running: Platform, name: str) -> list[tuple[str, str]]:
    with running.client() as client:
        told = client.get(f"/api/tidegate/v1/endpoints/{name}/events").json()["events"]
    return [(event["type"], event["message"]) for event in told]


def delete(running: Platform, name: str) -> None:
    with running.client() as client:
        client.delete(f"/api/2.0/serving-endpoints/{name}")


def test_a_model_that_waits_gets_more_replicas_than_cores(moody: Platform) -> None:
    moody.launch("waits", "scaled", workload_size="Small")
    body = {"dataframe_records": [{"mood": "sleep 0.3"}]}
    stop = time.monotonic() + 120
    answers: list[int] = []

    def ask() -> None:
        while time.monotonic() < stop and ready_replicas(moody, "waits") < 4:
            answers.append(moody.score("waits", body).status_code)

    with ThreadPoolExecutor(6) as callers:
        for _ in range(6):
            callers.submit(ask)
    assert ready_replicas(moody, "waits") == 4
    assert set(answers) == {200}
    assert any(kind == "scaled" and " → 4 replicas: " in message for kind, message in events(moody, "waits"))
    delete(moody, "waits")


@pytest.mark.acceptance
def test_requests_around_the_sleep_of_an_endpoint_are_all_answered(moody: Platform) -> None:
    moody.launch("naps", "scaled", scale_to_zero_enabled=True, idle_timeout_seconds=1)
    body = {"dataframe_records": [{"mood": "fine"}]}
    answers = []
    for turn in range(2):
        until(lambda: ready_replicas(moody, "naps") == 0, 60)
        answers.append(moody.score("naps", body).status_code)
        for pause in (1.2, 1.8, 2.4):  # about when it goes to sleep
            time.sleep(pause + turn / 20)
            answers.append(moody.score("naps", body).status_code)
    assert set(answers) == {200}
    assert moody.get("naps")["state"]["ready"] == "READY"
    kinds = [kind for kind, _ in events(moody, "naps")]
    assert kinds.count("scaled_to_zero") >= 2
    assert kinds.count("woken") >= 2
    delete(moody, "naps")
