"""What an owner sees of replicas and of cold starts, on the whole platform."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.conftest import Registered
from tests.e2e.running_platform import Platform, until
from tidegate.core.planes.load_report import COLD_PHASES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

STEP = re.compile(r"([\w-]+);dur=([\d.]+)")


def counter(client: httpx.Client, name: str, endpoint: str) -> float:
    """A counter's value for an endpoint."""
    found = re.search(rf'^{name}{{endpoint="{endpoint}"}} (\S+)$', client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_replicas_are_shown_with_what_they_use_and_a_cold_start_with_its_phases(
    house: Platform, iris: Registered
) -> None:
    house.launch("capacity", "iris", iris.version)
    with house.client() as client:
        replica = measured(client)
        assert replica["served_entity"] == "iris-1"
        assert (replica["state"], replica["cpu_seconds"] > 0) == ("ready", True)
        assert 20e6 < replica["memory_bytes"] < 2e9
        shown = house.command("show", "capacity").stdout.splitlines()
        assert shown[-1].split("\t")[5].endswith(" MB")
        answer = cold(house, replica["pid"], iris.request)
        assert answer.status_code == 200
        steps = {name: float(ms) for name, ms in STEP.findall(answer.headers["server-timing"])}
        assert abs(sum(steps[f"cold-{phase}"] for phase in COLD_PHASES[:-1]) - steps["cold"]) < 0.1
        deadline = time.monotonic() + 10
        while counter(client, "tidegate_cold_requests_total", "capacity") < 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert counter(client, "tidegate_cold_starts_total", "capacity") == 1


def cold(house: Platform, replica: int, request: dict[str, Any]) -> httpx.Response:
    """The answer to a request that comes when there is no replica: the agent cannot start one before it has come."""
    agent = house.pid_of("tidegate: agent")
    os.kill(agent, signal.SIGSTOP)
    try:
        os.kill(replica, signal.SIGKILL)
        until(lambda: not running(replica), 10)
        time.sleep(0.2)  # until the gateway has seen its end
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(house.score, "capacity", request)
            time.sleep(0.2)
            os.kill(agent, signal.SIGCONT)
            return answer.result(60)
    finally:
        os.kill(agent, signal.SIGCONT)


def running(pid: int) -> bool:
    """Whether that process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def measured(client: httpx.Client) -> dict[str, Any]:
    """The endpoint's one replica, once its memory is known."""
    deadline = time.monotonic() + 20
    while True:
        [replica] = client.get("/api/tidegate/v1/endpoints/capacity/replicas").json()["replicas"]
        if replica["memory_bytes"]:
            return dict(replica)
        assert time.monotonic() < deadline
        time.sleep(0.1)
