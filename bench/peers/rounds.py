"""Interleaved rounds: in each, every server is started, warmed, measured and ended, so that none runs beside another.

An idle server is not free (one peer's empty batch queue keeps a core busy), and a slow minute of the machine must not
fall on one server alone.
"""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench import wrk
from bench.peers.environments import Environments, NotBuilt, versions
from bench.peers.peer import Start
from bench.peers.results import Subject
from bench.peers.server import NotStarted, Server, free_ports
from bench.wrk import Figures

WARM_UP_SECONDS = 2

Tell = Callable[[str], None]


class Rounds:
    """Measures subjects round by round; a failure is noted at its subject and ends that subject's part."""

    def __init__(self, environments: Environments, scratch: Path, seconds: int, tell: Tell) -> None:
        self._environments = environments
        self._scratch = scratch
        self._seconds = seconds
        self._tell = tell

    def prepare(self, subjects: list[Subject]) -> None:
        """Make the environments."""
        for subject in subjects:
            self._tell(f"environment of {subject.peer.title}")
            try:
                subject.versions = versions(self._python(subject))
            except (NotBuilt, subprocess.SubprocessError) as failure:
                subject.failure = f"no environment: {failure}"

    def run(self, subjects: list[Subject], rounds: int, until: float) -> int:
        """So many rounds, each beginning with another subject; returns how many were begun before `until`."""
        for number in range(rounds):
            if number and time.monotonic() > until:
                return number
            shift = number * len(subjects) // rounds
            for subject in subjects[shift:] + subjects[:shift]:
                if not subject.failure:
                    self._tell(f"round {number + 1} of {rounds}: {subject.peer.title}, {subject.workload.title}")
                    self._measure(subject)
        return rounds

    def _measure(self, subject: Subject) -> None:
        try:
            if subject.peer.serves:
                self._measure_server(subject)
            else:
                self._measure_program(subject)
        except (NotStarted, subprocess.SubprocessError) as failure:
            subject.failure = " ".join(str(failure).split())

    def _measure_server(self, subject: Subject) -> None:
        with Server(subject.peer, self._start(subject)) as server:
            subject.starts.append(server.started_after)
            wrk.run(server.url, server.body, subject.workload.warm_up_connections, WARM_UP_SECONDS, server.token)
            for connections in subject.workload.connections:
                figures = wrk.run(server.url, server.body, connections, self._seconds, server.token)
                subject.runs.setdefault(connections, []).append(figures)

    def _measure_program(self, subject: Subject) -> None:
        start = self._start(subject)
        done = subprocess.run(
            subject.peer.command(start), cwd=start.folder, capture_output=True, text=True, check=True, timeout=120
        )
        subject.runs.setdefault(1, []).append(Figures(**json.loads(done.stdout.splitlines()[-1])))

    def _start(self, subject: Subject) -> Start:
        folder = self._scratch / f"{subject.peer.name}-{subject.workload.name}"
        folder.mkdir(parents=True, exist_ok=True)
        return Start(self._python(subject), subject.workload, free_ports(3), folder)

    def _python(self, subject: Subject) -> Path:
        return self._environments.python(subject.peer.requirements, subject.peer.python_version)
