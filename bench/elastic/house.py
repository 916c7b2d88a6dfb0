"""A platform whose endpoints go to zero, and what is to be seen of it from outside: replicas, memory, CPU time."""

import contextlib
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform

from bench.senders import Target
from tidegate.data_directory import DataDirectory

_RECORD = re.compile(r"[0-9a-f]{8}\.json")
IDLE_SECONDS = 1.0  # the shortest idle timeout that there is


@dataclass(frozen=True)
class Seen:
    """A replica, from its pid file."""

    endpoint: str
    pid: int
    ready: bool


@dataclass
class House:
    """A running platform. `requests` has, for each registered model, a request that fits."""

    platform: Platform
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    _endpoints: dict[str, str] = field(default_factory=dict)  # revision → endpoint

    def add_model(self, kind: str, name: str, *python: str) -> None:
        """Log and register a model of the tests' zoo."""
        self.requests[name] = register(self.platform, kind, name, *python)

    def create(self, name: str, model: str, **entity: Any) -> None:
        """Create an endpoint that goes to zero, unless told otherwise; does not wait."""
        served = {"entity_name": model, "entity_version": "1", **ELASTIC, **entity}
        with self.platform.client() as client:
            answer = client.post(
                "/api/2.0/serving-endpoints", json={"name": name, "config": {"served_entities": [served]}}
            )
        if answer.status_code != 200:
            raise SystemExit(f"{name} was not created: {answer.text}")

    def launch(self, name: str, model: str, **entity: Any) -> None:
        """Create an endpoint and wait until it is ready."""
        self.create(name, model, **entity)
        self.platform.settled(name)

    def delete(self, *names: str) -> None:
        """Delete endpoints."""
        with self.platform.client() as client:
            for name in names:
                client.delete(f"/api/2.0/serving-endpoints/{name}")

    def target(self, endpoint: str, *requests: Any) -> Target:
        """Where the load generator sends these requests, in turns."""
        bodies = tuple(json.dumps(request).encode() for request in requests)
        return Target(f"{self.platform.url}/serving-endpoints/{endpoint}/invocations", bodies, self.platform.token)

    def forks(self, endpoint: str) -> bool:
        """Whether its replicas are forked from now on: the first was ready, and one fork has been tried."""
        with self.platform.client() as client:
            [entity] = client.get(f"/api/2.0/serving-endpoints/{endpoint}").json()["config"]["served_entities"]
        return bool((entity["state"].get("start") or {}).get("mode") == "fork")

    # --- what is to be seen

    def replicas(self) -> list[Seen]:
        """All replicas, starting and draining ones too. Costs the platform nothing: it reads the pid files."""
        found = []
        for file in DataDirectory(self.platform.data_dir).run.iterdir():
            if _RECORD.fullmatch(file.name):
                with contextlib.suppress(OSError, ValueError):  # it has just gone
                    record = json.loads(file.read_bytes())
                    found.append(Seen(self._endpoint(record["revision"]), record["pid"], record["ready"]))
        return found

    def count(self) -> Counter[str]:
        """Replicas of each endpoint."""
        return Counter(seen.endpoint for seen in self.replicas())

    def ready(self, endpoint: str) -> list[int]:
        """The pids of an endpoint's replicas that can predict."""
        return [seen.pid for seen in self.replicas() if seen.endpoint == endpoint and seen.ready]

    def wait_at_zero(self, *endpoints: str, seconds: float = 60) -> float:
        """Wait until none of these has a replica; returns how long that took."""
        begin = time.monotonic()
        until(lambda: not self.count().keys() & set(endpoints), f"{len(endpoints)} endpoints at zero", seconds)
        return time.monotonic() - begin

    def _endpoint(self, revision: str) -> str:
        if revision not in self._endpoints:
            applied = json.loads((self.platform.data_dir / "targets" / f"{revision}.json").read_bytes())
            self._endpoints[revision] = applied["target"]["endpoint"]
        return self._endpoints[revision]

    def events(self, endpoint: str) -> list[dict[str, Any]]:
        """What happened to an endpoint, oldest first."""
        with self.platform.client() as client:
            return list(client.get(f"/api/tidegate/v1/endpoints/{endpoint}/events").json()["events"])

    def memory(self, title: str = "tidegate") -> float:
        """PSS of all processes whose title starts so, in MB."""
        return sum(pss(pid) for pid, name in self.platform.processes().items() if name.startswith(title))

    def cpu_seconds(self) -> dict[int, float]:
        """CPU time of every process of the platform so far."""
        used = {}
        for pid in self.platform.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                used[pid] = sum(psutil.Process(pid).cpu_times()[:2])
        return used


ELASTIC = {"scale_to_zero_enabled": True, "idle_timeout_seconds": IDLE_SECONDS}


def pss(pid: int) -> float:
    """A process's share of memory in MB; 0 when it has gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return float(psutil.Process(pid).memory_full_info().pss) / 1e6
    return 0.0


def until(holds: Callable[[], bool], what: str, seconds: float = 60, pause: float = 0.02) -> None:
    """Wait until it holds; ends the program when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:g} s: {what}")
        time.sleep(pause)


@contextlib.contextmanager
def elastic_house(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[House]:
    """A platform in a temporary data directory, ended after the `with`."""
    with tempfile.TemporaryDirectory() as folder:
        running = Platform(Path(folder) / "data", *arguments, environment=environment).start()
        try:
            yield House(running)
        finally:
            running.stop()
