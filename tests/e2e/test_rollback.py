"""Updates and rollbacks under requests: nothing is lost, and nobody is led back to what was left."""

import contextlib
import itertools
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from tests.e2e.conftest import Registered
from tests.e2e.running_platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class House:
    """The shared platform, and a request for its models."""

    platform: Platform
    request: dict[str, Any]

    def post(self, path: str) -> dict[str, Any]:
        with self.platform.client() as client:
            answer = client.post(f"/api/tidegate/v1/endpoints/{path}")
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

    def get(self, path: str) -> dict[str, Any]:
        with self.platform.client() as client:
            return dict(client.get(f"/api/tidegate/v1/endpoints/{path}").json())

    def pids(self, name: str) -> dict[str, set[int]]:
        """Of each served entity that has any, the processes that are ready."""
        found: dict[str, set[int]] = {}
        for replica in self.get(f"{name}/replicas")["replicas"]:
            if replica["state"] == "ready":
                found.setdefault(replica["served_entity"], set()).add(replica["pid"])
        return found

    def update(self, name: str, version: str) -> None:
        state = self.platform.update(name, {"entity_name": "iris", "entity_version": version})
        assert state["state"]["config_update"] == "NOT_UPDATING", state["state"]


@pytest.fixture(scope="module")
def rollbacks(house: Platform, iris: Registered) -> House:
    return House(house, iris.request)


@dataclass
class Callers:
    """Callers that ask again and again. `answers` are when each request was sent and answered, its status and by whom.

    `told` are when something was asked of the platform: a new chapter begins.
    """

    house: House
    endpoint: str
    answers: list[tuple[float, float, int, str]] = field(default_factory=list)
    told: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a request hangs"

    def _call(self) -> None:
        with self.house.platform.client() as client:
            while not self._stop.is_set():
                sent = time.monotonic()
                answer = client.post(f"/serving-endpoints/{self.endpoint}/invocations", json=self.house.request)
                served = answer.headers.get("served-model-name", answer.text)
                self.answers.append((sent, time.monotonic(), answer.status_code, served))
                self._stop.wait(0.02)

    def serves(self, name: str, seconds: float = 60) -> None:
        """Wait until it answers a request that is sent from now on, and then another that is sent after that."""
        for _ in range(2):
            now = time.monotonic()
            until(lambda: any(sent > now and served == name for sent, _, _, served in list(self.answers)), seconds)  # noqa: B023

    def check(self, *names: str) -> None:
        """All were answered with 200; and after the first answer of each name, which came once it was asked for, none
        of the names before it answers a request that is sent.
        """
        assert {status for _, _, status, _ in self.answers} == {200}, self.answers
        ends = [*self.told[1:], float("inf")]
        for begin, end, (old, new) in zip(self.told, ends, itertools.pairwise(names), strict=True):
            chapter = [answer for answer in self.answers if begin <= answer[0] < end]
            first = min(answered for _, answered, _, served in chapter if served == new)
            assert {served for _, _, _, served in chapter} <= {old, new}
            assert {served for sent, _, _, served in chapter if sent > first} == {new}


def test_an_update_and_its_rollback_under_requests(rollbacks: House) -> None:
    rollbacks.platform.launch("back", "iris", "1")
    (old,) = rollbacks.pids("back")["iris-1"]
    with Callers(rollbacks, "back") as callers:
        callers.serves("iris-1")
        callers.told.append(time.monotonic())
        rollbacks.update("back", "2")
        callers.serves("iris-2")
        assert old in rollbacks.pids("back")["iris-1"], rollbacks.get("back/events")
        callers.told.append(time.monotonic())
        rollbacks.post("back/rollback")
        callers.serves("iris-1")
    callers.check("iris-1", "iris-2", "iris-1")
    assert old in rollbacks.pids("back")["iris-1"]
    state = rollbacks.platform.get("back")["state"]
    assert (state["ready"], state["config_update"]) == ("READY", "NOT_UPDATING")
    switches = rollbacks.get("back/switches")["switches"]
    assert [(switch["by"], switch["to"]["config_version"]) for switch in switches] == [
        ("admin", 1),
        ("admin", 2),
        ("rollback", 1),
    ]


@pytest.mark.acceptance
def test_after_its_time_the_replica_is_gone_and_a_rollback_still_works(rollbacks: House) -> None:
    rollbacks.platform.launch("late", "iris", "1")
    rollbacks.update("late", "2")
    until(lambda: set(rollbacks.pids("late")) == {"iris-2"}, 60)
    assert rollbacks.get("late/switches")["parked"]["replicas_until"] is None
    with Callers(rollbacks, "late") as callers:
        callers.serves("iris-2")
        callers.told.append(time.monotonic())
        done = rollbacks.platform.command("rollback", "late")
        assert (done.returncode, done.stdout) == (0, "Endpoint 'late' serves models:/iris/1.\n"), done.stderr
        callers.serves("iris-1")
    callers.check("iris-2", "iris-1")
    assert "Parked: models:/iris/2, " in rollbacks.platform.command("show", "late").stdout


def test_a_rollback_goes_on_when_control_is_killed(rollbacks: House) -> None:
    rollbacks.platform.launch("killed", "iris", "1")
    rollbacks.update("killed", "2")
    with Callers(rollbacks, "killed") as callers:
        callers.serves("iris-2")
        rollbacks.post("killed/rollback")
        with contextlib.suppress(ProcessLookupError):
            os.kill(rollbacks.platform.pid_of("tidegate: control"), signal.SIGKILL)
        callers.serves("iris-1")
    assert {status for _, _, status, _ in callers.answers} == {200}
    until(lambda: _calm(rollbacks, "killed"), 60)
    assert rollbacks.platform.get("killed")["config"]["config_version"] == 1


def _calm(house: House, name: str) -> bool:
    with house.platform.client() as client:
        answer = client.get(f"/api/2.0/serving-endpoints/{name}")
        return answer.status_code == 200 and answer.json()["state"]["config_update"] == "NOT_UPDATING"
