"""Rollbacks: from the call to the first answer by what served before, which is parked with its replica, or sleeps.

Versions of one small model take turns behind one endpoint, without other requests; client-side, over connections that
are there already.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform, platform, until

from bench.claims import Claims
from bench.outcome import percentile
from bench.rollouts.house import told

PARKED_MS = 200
NAME = "rolls"


class Rolls:
    """An endpoint that has a configuration to go back to."""

    def __init__(self, running: Platform, client: httpx.Client) -> None:
        self._platform, self._client = running, client
        self._request: Any = None

    def prepare(self) -> None:
        """Version 2 serves, and version 1 is parked."""
        self._request = register(self._platform, "tabular", "wine")
        register(self._platform, "tabular", "wine")
        self._platform.launch(NAME, "wine", "1")
        self._platform.update(NAME, {"entity_name": "wine", "entity_version": "2"})
        until(lambda: self._answers() == "wine-2", 30)

    def roll_back(self) -> float:
        """Seconds from the call to the first answer by the other version."""
        before, began = self._answers(), time.monotonic()
        self._client.post(f"/api/tidegate/v1/endpoints/{NAME}/rollback").raise_for_status()
        while self._answers() == before:
            pass
        taken = time.monotonic() - began
        self._platform.settled(NAME)
        return taken

    def replicas(self) -> int:
        """How many processes there are, of both versions."""
        answer = self._client.get(f"/api/tidegate/v1/endpoints/{NAME}/replicas")
        return len(answer.raise_for_status().json()["replicas"])

    def _answers(self) -> str:
        answer = self._client.post(f"/serving-endpoints/{NAME}/invocations", json=self._request)
        return answer.raise_for_status().headers["served-model-name"]


@contextlib.contextmanager
def rolls(park_seconds: float) -> Iterator[Rolls]:
    """The endpoint on a platform that keeps replicas for so long."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        environment = {"TIDEGATE_ROLLOUTS__PARK_SECONDS": str(park_seconds)}
        running = stack.enter_context(platform(Path(folder) / "data", environment=environment))
        endpoint = Rolls(running, stack.enter_context(running.client()))
        endpoint.prepare()
        yield endpoint


def options(parser: argparse.ArgumentParser) -> None:
    """How often."""
    parser.add_argument("--times", type=int, default=20)


def run(chosen: argparse.Namespace, claims: Claims) -> None:
    """Measure on platforms of its own."""
    with rolls(600.0) as endpoint:
        parked = [endpoint.roll_back() for _ in range(chosen.times)]
    met = percentile(parked, 50) * 1000 < PARKED_MS
    claim = f"{chosen.times} rollbacks to a parked version: p50 < {PARKED_MS} ms"
    claims.hold(claim, told(parked, unit="ms"), met=met)
    asleep: list[float] = []
    with rolls(0.0) as endpoint:
        while len(asleep) < chosen.times:
            until(lambda: endpoint.replicas() == 1, 30)
            asleep.append(endpoint.roll_back())
    claims.tell(f"{chosen.times} rollbacks to a version without a replica", told(asleep, unit="ms"))
