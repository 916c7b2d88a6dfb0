"""Any process may die under load: no request is lost, the state is intact, and it is back within 5 seconds."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.conftest import Registered
from tests.e2e.load import Load
from tests.e2e.running_platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def fragile(house: Platform, iris: Registered) -> tuple[Platform, Registered]:
    """The shared platform, to break."""
    return house, iris


def kill(running: Platform, title: str) -> float:
    """kill -9 one process by its title; returns the seconds until another one bears it."""
    pid = running.pid_of(title)
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: any(n.startswith(title) and p != pid for p, n in running.processes().items()), 20)
    return time.monotonic() - killed


@pytest.mark.parametrize("title", ["tidegate: control", "tidegate: agent", "tidegate: registry"])
def test_a_killed_process_loses_no_request(fragile: tuple[Platform, Registered], title: str) -> None:
    running, iris = fragile
    before = running.get("iris")
    replica = running.pid_of("tidegate: replica iris")
    with Load(running, "iris", iris.request) as load:
        time.sleep(0.5)
        kill(running, title)
        killed = time.monotonic()
        until(lambda: _works(running, title), 20)
        back = time.monotonic() - killed
        time.sleep(0.5)
    print(f"FIGURE {title.split()[1]} killed: back after {back:.1f} s, {dict(load.outcome.statuses)}")
    assert load.outcome.lost == {}
    assert _known(running.get("iris")) == _known(before)
    assert running.pid_of("tidegate: replica iris") == replica


def _works(running: Platform, title: str) -> bool:
    """Whether the platform can do again what needs this process."""
    with running.client() as client:
        if title == "tidegate: registry":
            return client.get("/mlflow/health").status_code == 200
        if title == "tidegate: control":
            return client.get("/api/2.0/serving-endpoints/iris").status_code == 200
        events = client.get("/metrics")
        return 'tidegate_replicas{endpoint="iris"' in events.text and _replica_ready(running)


def _replica_ready(running: Platform) -> bool:
    state = running.get("iris")["state"]
    return bool(state["ready"] == "READY")


def test_a_killed_replica_loses_no_request(fragile: tuple[Platform, Registered]) -> None:
    running, iris = fragile
    with Load(running, "iris", iris.request) as load:
        time.sleep(0.5)
        seconds = kill(running, "tidegate: replica iris")
        time.sleep(3)
    print(
        f"FIGURE replica killed: {dict(load.outcome.statuses)}, slowest {load.outcome.slowest():.1f} s, {seconds:.1f}"
    )
    assert load.outcome.lost == {}


def test_a_killed_gateway_is_replaced_and_scores(fragile: tuple[Platform, Registered]) -> None:
    running, iris = fragile
    os.kill(running.pid_of("tidegate: gateway 0"), signal.SIGKILL)
    answer = running.score("iris", iris.request)  # waits in the socket that the supervisor keeps
    assert answer.status_code == 200


def test_a_killed_supervisor_ends_everything_and_the_next_one_serves_on(fragile: tuple[Platform, Registered]) -> None:
    running, iris = fragile
    processes = [psutil.Process(pid) for pid in running.processes()]
    before = running.get("iris")
    running.kill()
    _, alive = psutil.wait_procs(processes, timeout=5)
    for survivor in alive:
        survivor.kill()
    assert alive == []
    running.start()
    assert running.score("iris", iris.request).status_code == 200
    after = running.get("iris")
    assert _known(after) == _known(before)


def _known(endpoint: dict[str, Any]) -> tuple[str, int, list[dict[str, Any]]]:
    """An endpoint as asked for, without the state that it is in: that goes on changing, as more is proved."""
    config = endpoint["config"]
    entities = [{key: entity[key] for key in entity if key != "state"} for entity in config["served_entities"]]
    return endpoint["id"], config["config_version"], entities


def test_port_taken_directory_in_use_and_corrupt_settings(fragile: tuple[Platform, Registered], tmp_path: Path) -> None:
    running, _ = fragile
    port = httpx.URL(running.url).port
    taken = running.command("up", "--port", str(port), "--data-dir", str(tmp_path / "other"))
    assert taken.returncode == 1
    assert str(port) in taken.stderr
    used = running.command("up", "--port", "0", "--data-dir", str(running.data_dir))
    assert used.returncode == 1
    assert str(running.pid) in used.stderr
    settings = tmp_path / "tidegate.toml"
    settings.write_text("[server\nport = 1")
    corrupt = running.command("up", "--config", str(settings))
    assert corrupt.returncode == 1
    assert "tidegate.toml" in corrupt.stderr
    settings.write_text("[server]\nprot = 1\n")
    unknown = running.command("up", "--config", str(settings))
    assert unknown.returncode == 1
    assert "server.prot" in unknown.stderr
    for done in (taken, used, corrupt, unknown):
        assert len(done.stderr.strip().splitlines()) <= 3, done.stderr
        assert "Traceback" not in done.stderr
    assert running.get("iris")["state"]["ready"] == "READY"
