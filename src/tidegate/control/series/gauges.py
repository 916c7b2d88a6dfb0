"""What replicas and queues show at a moment, by endpoint and served entity."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tidegate.core.endpoint.revision import Revision, RevisionId, RevisionObservation
from tidegate.core.planes.account import in_flight
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.series.series_point import WHOLE
from tidegate.core.series.served_label import served_label

Key = tuple[str, str]
"""An endpoint's name, and the label of a served entity."""

# A gauge that moves by less than this share counts as unchanged: memory never quite stands still.
_NOISE = 0.01


@dataclass(frozen=True, slots=True)
class Gauge:
    """How a served entity stands. `cpu` is in cores. GPUs are not measured yet: their place is here."""

    ready: float = 0.0
    wanted: float = 0.0
    memory_bytes: float = 0.0
    cpu: float = 0.0

    def is_like(self, other: "Gauge") -> bool:
        """Whether nothing worth a new point has changed."""
        pairs = (self.memory_bytes, other.memory_bytes), (self.cpu, other.cpu)
        same = (self.ready, self.wanted) == (other.ready, other.wanted)
        return same and all(abs(one - two) <= _NOISE * max(one, two) for one, two in pairs)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The requests under way, those of them that wait in gateways, and for how long the oldest has, seconds."""

    in_flight: int = 0
    queued: int = 0
    oldest_seconds: float = 0.0


class ReplicaGauges:
    """Makes gauges of what the engine reports. CPU is what a replica has used between two of its measurements."""

    def __init__(self) -> None:
        self._labels: dict[RevisionId, Key] = {}
        self._cpu: dict[str, tuple[float, float, float]] = {}  # replica → when measured, its CPU seconds, and cores

    def label(self, rid: RevisionId, revisions: Mapping[RevisionId, Revision]) -> Key | None:
        """What a revision's series is called; None for an unknown one."""
        known = self._labels.get(rid)
        if known is None and (revision := revisions.get(rid)) is not None:
            label = served_label(revision.entity.name, revision.entity.resolved.version)
            known = self._labels[rid] = revision.endpoint_name, label
        return known

    def look(
        self,
        observations: Mapping[RevisionId, RevisionObservation],
        revisions: Mapping[RevisionId, Revision],
        wanted: Mapping[RevisionId, int],
        now: float,
    ) -> dict[Key, Gauge]:
        """The gauges of all served entities with replicas, or that should have some. `now` is monotonic seconds."""
        self._labels = {rid: key for rid, key in self._labels.items() if rid in revisions}
        found: dict[Key, Gauge] = {}
        cpu: dict[str, tuple[float, float, float]] = {}
        for rid, seen in observations.items():
            key, count = self.label(rid, revisions), wanted.get(rid, seen.target.replicas)
            if key is None or not (seen.replicas or count):
                continue
            cores = 0.0
            for replica in seen.replicas:
                cpu[replica.id] = measured = self._measured(replica.id, replica.cpu_seconds, now)
                cores += measured[2]
            before = found.get(key, Gauge())  # two revisions of one version have one series
            memory = sum(replica.memory_bytes for replica in seen.replicas)
            found[key] = Gauge(
                before.ready + seen.ready_replicas, before.wanted + count, before.memory_bytes + memory,
                before.cpu + cores,
            )  # fmt: skip
        self._cpu = cpu
        return found

    def _measured(self, replica: str, cpu_seconds: float, now: float) -> tuple[float, float, float]:
        at, before, cores = self._cpu.get(replica, (now, cpu_seconds, 0.0))
        if cpu_seconds > before and now > at:
            return now, cpu_seconds, (cpu_seconds - before) / (now - at)
        if now - at > _CPU_UNCHANGED_SECONDS:
            return at, cpu_seconds, 0.0
        return at, before, cores


# The engine measures a replica that works at least this often.
_CPU_UNCHANGED_SECONDS = 15.0


def waiting(reports: Iterable[LoadReport], labels: Mapping[RevisionId, Key]) -> dict[Key, Waiting]:
    """The requests under way of each served entity that has any; those of whole endpoints are under WHOLE."""
    found: dict[Key, Waiting] = {}
    for report in reports:
        for rid, load in report.revisions.items():
            if (load.in_flight or load.queued) and (key := labels.get(rid)) is not None:
                before = found.get(key, Waiting())
                found[key] = Waiting(
                    before.in_flight + load.in_flight + load.queued,
                    before.queued + load.queued,
                    max(before.oldest_seconds, load.oldest_wait_seconds),
                )
        for name, accounts in report.accounts.items():
            if count := in_flight(accounts.values()):
                before = found.get((name, WHOLE), Waiting())
                found[name, WHOLE] = Waiting(before.in_flight + count, before.queued, before.oldest_seconds)
    return found
