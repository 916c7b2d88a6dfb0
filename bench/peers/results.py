"""What a run has measured, and the file it is kept in."""

import dataclasses
import json
import os
import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench.peers.peer import Kind, Peer
from bench.peers.workload import Workload
from bench.wrk import Figures


@dataclass
class Subject:
    """One server under one kind of request, and the figures of its rounds by number of connections."""

    peer: Peer
    workload: Workload
    runs: dict[int, list[Figures]] = field(default_factory=dict)
    starts: list[float] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    failure: str = ""

    def median(self, connections: int) -> Figures | None:
        """The median of the rounds; the failed of all of them."""
        runs = self.runs.get(connections)
        return median(runs) if runs else None

    def spread(self, connections: int) -> float:
        """From the slowest to the fastest round, as a part of the median."""
        rates = [figures.requests_per_second for figures in self.runs[connections]]
        return (max(rates) - min(rates)) / (statistics.median(rates) or 1)


def median(runs: list[Figures]) -> Figures:
    """Rate and latencies by the median; what failed by the sum."""
    return Figures(
        statistics.median(run.requests_per_second for run in runs),
        statistics.median(run.p50 for run in runs),
        statistics.median(run.p99 for run in runs),
        sum(run.failed for run in runs),
    )


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return {
        "cpu": cpu,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "day": datetime.now(UTC).date().isoformat(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def write(path: Path, subjects: list[Subject], options: dict[str, object]) -> None:
    """The whole run as JSON: every figure of every round, and what was installed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "options": options, "subjects": [_record(subject) for subject in subjects]}
    path.write_text(json.dumps(content, indent=1))


def _record(subject: Subject) -> dict[str, object]:
    peer, workload = subject.peer, subject.workload
    return {
        "name": peer.name,
        "title": peer.title,
        "kind": peer.kind,
        "settings": peer.settings,
        "source": peer.source,
        "workload": workload.name,
        "failure": subject.failure,
        "start_seconds": subject.starts,
        "runs": {str(n): [dataclasses.asdict(run) for run in runs] for n, runs in subject.runs.items()},
        "versions": subject.versions,
    }


def find(subjects: list[Subject], name: str, workload: str = "iris") -> Subject | None:
    """The subject of that name that was measured."""
    fitting = (s for s in subjects if s.peer.name == name and s.workload.name == workload and s.runs)
    return next(fitting, None)


def measured(subjects: list[Subject], kind: Kind, workload: str = "iris") -> list[Subject]:
    """The subjects of a kind that have figures."""
    return [s for s in subjects if s.peer.kind == kind and s.workload.name == workload and s.runs]
