"""An engine that runs nothing: replicas are entries in a dictionary."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from tidegate.core.endpoint.machine_report import MachineReport, MemoryHolder, TemplateReport
from tidegate.core.endpoint.revision import (
    Address,
    Proof,
    Replica,
    ReplicaId,
    ReplicaState,
    RevisionId,
    RevisionObservation,
    RevisionTarget,
)
from tidegate.core.errors import Unavailable
from tidegate.ports import Engine


class FakeEngine:
    """What is applied has its replicas at once, unless `failures` has a sentence for the revision.

    While `away` is set, every method raises Unavailable. While `drains` is set, what is removed is seen draining until
    `drained` is called.
    """

    def __init__(self) -> None:
        self.away = False
        self.drains = False
        self.failures: dict[RevisionId, str] = {}
        self._held: dict[RevisionId, RevisionObservation] = {}
        self._numbers = count(1)
        self.cores, self.memory_bytes, self.replica_bytes = 4, 8_000_000_000, 200_000_000
        self.templates: tuple[TemplateReport, ...] = ()
        self.idle: dict[RevisionId, float] = {}  # seconds

    async def apply(self, target: RevisionTarget) -> None:
        self._work()
        held = self._held.get(target.revision)
        if sentence := self.failures.get(target.revision):
            starts = held.failed_starts if held else 0
            self._held[target.revision] = RevisionObservation(target, failed_starts=starts + 1, message=sentence)
            return
        ready = [r for r in held.replicas if r.state is ReplicaState.READY] if held else []
        wanted = min(max(target.replicas, target.min_replicas), target.max_replicas)
        replicas = [*ready, *(self._replica() for _ in range(wanted - len(ready)))][:wanted]
        proof = held.proof if held else None
        self._held[target.revision] = RevisionObservation(
            target, tuple(replicas), proof=proof or (Proof("input_example") if replicas else None)
        )

    async def remove(self, revision: RevisionId) -> None:
        self._work()
        if not self.drains:
            self._held.pop(revision, None)
        elif held := self._held.get(revision):
            draining = tuple(replace(replica, state=ReplicaState.DRAINING) for replica in held.replicas)
            self._held[revision] = replace(held, replicas=draining)

    async def observe(self) -> Mapping[RevisionId, RevisionObservation]:
        self._work()
        return dict(self._held)

    async def machine(self) -> MachineReport:
        self._work()
        running = {rid: seen for rid, seen in self._held.items() if seen.replicas}
        holders = tuple(
            MemoryHolder(
                rid,
                seen.target.endpoint,
                seen.target.served_entity,
                len(seen.replicas),
                sum(replica.memory_bytes or self.replica_bytes for replica in seen.replicas),
                self.idle.get(rid, 0.0),
                stays=seen.target.min_replicas > 0,
                parked=seen.target.parked,
            )
            for rid, seen in running.items()
        )
        order = sorted((holder for holder in holders if not holder.stays), key=lambda one: -one.idle_seconds)
        going = tuple(one.revision for one in order if one.idle_seconds >= 5)
        return MachineReport(self.cores, self.memory_bytes, 0, holders, self.templates, going, pid=4)

    def drained(self, revision: RevisionId) -> None:
        """The last process of a revision that was removed has ended."""
        del self._held[revision]

    def _replica(self) -> Replica:
        number = next(self._numbers)
        address = Address(f"/run/{number:08x}.sock", f"secret-{number}")
        return Replica(ReplicaId(f"{number:08x}"), ReplicaState.READY, address, 1000 + number, 1_700_000_000.0)

    def _work(self) -> None:
        if self.away:
            raise Unavailable("The agent does not answer; it is being started again.", retry_after=1)


_: type[Engine] = FakeEngine
