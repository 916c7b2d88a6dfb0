"""Updates and rollbacks under requests: nothing is lost, and nobody is led back to what was left."""

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform, platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PARK_SECONDS = 15.0


@dataclass(frozen=True)
class House:
    """A platform of this module's own, which parks for a short time, and a request for its models."""

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
        state = self.platform.update(name, {"entity_name": "wine", "entity_version": version})
        assert state["state"]["config_update"] == "NOT_UPDATING", state["state"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    environment = {"TIDEGATE_ROLLOUTS__PARK_SECONDS": str(PARK_SECONDS)}
    with platform(tmp_path_factory.mktemp("rollback") / "data", environment=environment) as running:
        request = register(running, "tabular", "wine")
        register(running, "tabular", "wine")
        yield House(running, request)


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


def test_an_update_and_its_rollback_under_requests(house: House) -> None:
    house.platform.launch("back", "wine", "1")
    (old,) = house.pids("back")["wine-1"]
    with Callers(house, "back") as callers:
        callers.serves("wine-1")
        callers.told.append(time.monotonic())
        house.update("back", "2")
        callers.serves("wine-2")
        assert old in house.pids("back")["wine-1"], house.get("back/events")
        callers.told.append(time.monotonic())
        house.post("back/rollback")
        callers.serves("wine-1")
    callers.check("wine-1", "wine-2", "wine-1")
    assert old in house.pids("back")["wine-1"]
    state = house.platform.get("back")["state"]
    assert (state["ready"], state["config_update"]) == ("READY", "NOT_UPDATING")
    switches = house.get("back/switches")["switches"]
    assert [(switch["by"], switch["to"]["config_version"]) for switch in switches] == [
        ("admin", 1),
        ("admin", 2),
        ("rollback", 1),
    ]


def test_after_its_time_the_replica_is_gone_and_a_rollback_still_works(house: House) -> None:
    house.platform.launch("late", "wine", "1")
    house.update("late", "2")
    until(lambda: set(house.pids("late")) == {"wine-2"}, 60)
    assert house.get("late/switches")["parked"]["replicas_until"] is None
    with Callers(house, "late") as callers:
        callers.serves("wine-2")
        callers.told.append(time.monotonic())
        done = house.platform.command("rollback", "late")
        assert (done.returncode, done.stdout) == (0, "Endpoint 'late' serves models:/wine/1.\n"), done.stderr
        callers.serves("wine-1")
    callers.check("wine-2", "wine-1")
    assert "Parked: models:/wine/2, " in house.platform.command("show", "late").stdout


def test_a_rollback_goes_on_when_control_is_killed(house: House) -> None:
    house.platform.launch("killed", "wine", "1")
    house.update("killed", "2")
    with Callers(house, "killed") as callers:
        callers.serves("wine-2")
        house.post("killed/rollback")
        with contextlib.suppress(ProcessLookupError):
            os.kill(house.platform.pid_of("tidegate: control"), signal.SIGKILL)
        callers.serves("wine-1")
    assert {status for _, _, status, _ in callers.answers} == {200}
    until(lambda: _calm(house, "killed"), 60)
    assert house.platform.get("killed")["config"]["config_version"] == 1


def _calm(house: House, name: str) -> bool:
    with house.platform.client() as client:
        answer = client.get(f"/api/2.0/serving-endpoints/{name}")
        return answer.status_code == 200 and answer.json()["state"]["config_update"] == "NOT_UPDATING"
