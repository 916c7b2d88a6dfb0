"""Admission control for memory: which starts fit on the machine, and which idle revisions are evicted for them.

Only memory is accounted for. CPU time is shared, and the number of replicas bounds it (see `schedule.wanted`). GPUs are
counted, but no model asks for one yet. A running replica counts with its measured memory. A start counts with what the
replicas of its revision used last, or with an estimate. A start that a request waits for may evict revisions that have
been idle for 5 s, any other start those of 60 s. A start that does not fit gets a sentence, which names the endpoints
that use the most memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.core.endpoint.revision import ReplicaId, RevisionId
from tidegate.engines.scheduling.memory_amount import gb

# The memory of a replica before one of its revision was measured.
ESTIMATE_BYTES = 256 * 1024 * 1024
# A revision may be evicted after this many idle seconds: for a start that a request waits for, and for any other start.
IDLE_FOR_WAITING_SECONDS, IDLE_SECONDS = 5.0, 60.0
# A replica over this many times its memory limit is ended before its successor is ready, lest the machine run out.
FAR_OVER = 1.5
# How many replicas over their limit are replaced within an hour, for each replica of the revision's target.
REPLACEMENTS_PER_HOUR = 12
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Machine:
    """The resources of a machine that replicas and templates may use together."""

    memory_bytes: int
    cores: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class MemoryUser:
    """A replica that uses memory. `idle_seconds` is how long its revision has had no request; 0 while it has one."""

    replica: ReplicaId
    revision: RevisionId
    endpoint: str
    memory_bytes: int
    leaving: bool = False  # it is ending: its memory becomes free
    stays: bool = False  # its revision may not be evicted
    idle_seconds: float = 0.0
    outgrown: bool = False  # it is over its memory limit and is to be replaced
    parked: bool = False  # its revision is held for a rollback only


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A start that is due, with its expected memory. `awaited`: a request waits for it."""

    revision: RevisionId
    endpoint: str
    memory_bytes: int
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """The result of admission control.

    - `admitted`: the revisions of which a replica may start now, in the order of the requests.
    - `evicted`: revisions that go down to zero replicas, each with the endpoint that needs the memory. The name is
      empty where replicas use more memory than there is.
    - `drained`: replicas that end before their own successors start.
    - `template_bytes`: the memory that templates have to free.
    - `refused`: a sentence for each revision that does not fit.

    A request that is in none of these waits for memory that is becoming free.
    """

    admitted: tuple[RevisionId, ...] = ()
    evicted: Mapping[RevisionId, str] = field(default_factory=dict)
    drained: tuple[ReplicaId, ...] = ()
    template_bytes: int = 0
    refused: Mapping[RevisionId, str] = field(default_factory=dict)


def admit(
    requests: Sequence[StartRequest], users: Sequence[MemoryUser], machine: Machine, templates_bytes: int = 0
) -> Admitted:
    """Which starts fit. The most urgent request is first: memory that it waits for is kept from those behind it."""
    return _Admission(users, machine, templates_bytes).of(requests)


def eviction_order(users: Sequence[MemoryUser]) -> tuple[RevisionId, ...]:
    """The revisions that may be evicted for a request that waits, the first to go first."""
    account = _Admission(users, Machine(0, 0), 0)
    return tuple(revision for revision, _ in account.idle(IDLE_FOR_WAITING_SECONDS))


class _Admission:
    """The memory account while requests are gone through. `_free` is below 0 where memory that is becoming free is
    promised already.
    """

    def __init__(self, users: Sequence[MemoryUser], machine: Machine, templates_bytes: int) -> None:
        self._users, self._machine, self._templates = users, machine, templates_bytes
        self._free = machine.memory_bytes - templates_bytes - sum(user.memory_bytes for user in users)
        self._becoming_free = sum(user.memory_bytes for user in users if user.leaving)
        self._admitted: list[RevisionId] = []
        self._evicted: dict[RevisionId, str] = {}
        self._drained: list[ReplicaId] = []
        self._from_templates = 0
        self._refused: dict[RevisionId, str] = {}

    def of(self, requests: Sequence[StartRequest]) -> Admitted:
        self._end_overcommitment()
        for request in requests:
            if request.revision not in self._refused:
                self._place(request)
        return Admitted(tuple(self._admitted), self._evicted, tuple(self._drained), self._from_templates, self._refused)

    def _end_overcommitment(self) -> None:
        """Evict idle revisions where replicas use more memory than there is."""
        short = -self._free - self._becoming_free
        if short > 0:
            chosen = _choose(self.idle(IDLE_FOR_WAITING_SECONDS), short)
            self._evicted |= {revision: "" for revision, _ in chosen}
            self._becoming_free += sum(size for _, size in chosen)

    def _place(self, request: StartRequest) -> None:
        if request.memory_bytes <= self._free:
            self._admitted.append(request.revision)
        elif not self._free_memory(request, request.memory_bytes - self._free - self._becoming_free):
            self._refused[request.revision] = self._sentence(request)
            return
        self._free -= request.memory_bytes

    def _free_memory(self, request: StartRequest, short: int) -> bool:
        """Find `short` bytes: from idle revisions, from templates, or from a replica that is to be replaced."""
        if short <= 0:
            return True
        idle_seconds = IDLE_FOR_WAITING_SECONDS if request.awaited else IDLE_SECONDS
        chosen = _choose(self.idle(idle_seconds, request.revision), short)
        had = sum(size for _, size in chosen)
        rest = short - had
        if rest > 0 and rest <= self._templates - self._from_templates:
            self._from_templates += rest
        elif rest > 0:
            return self._drain_predecessor(request, short)
        self._evicted |= dict.fromkeys((revision for revision, _ in chosen), request.endpoint)
        self._becoming_free += had + max(0, rest)
        return True

    def _drain_predecessor(self, request: StartRequest, short: int) -> bool:
        """End a replica before its successor starts, where there is no memory for both."""
        for user in self._users:
            if user.outgrown and user.revision == request.revision and self._may_go(user):
                self._drained.append(user.replica)
                self._becoming_free += user.memory_bytes
                return user.memory_bytes >= short
        return False

    def _may_go(self, user: MemoryUser) -> bool:
        return not user.leaving and user.replica not in self._drained and user.revision not in self._evicted

    def idle(self, idle_seconds: float, besides: RevisionId | None = None) -> list[tuple[RevisionId, int]]:
        """The revisions that may be evicted, with their memory: the parked ones, then those idle for longest."""
        memory_of: dict[RevisionId, int] = {}
        for user in sorted(self._users, key=lambda user: (not user.parked, -user.idle_seconds, user.revision)):
            long = IDLE_FOR_WAITING_SECONDS if user.parked else idle_seconds
            idle = not user.stays and user.idle_seconds >= long and user.revision != besides
            if idle and self._may_go(user):
                memory_of[user.revision] = memory_of.get(user.revision, 0) + user.memory_bytes
        return list(memory_of.items())

    # --- sentences

    def _sentence(self, request: StartRequest) -> str:
        """Why a start does not fit, and what would free memory."""
        total = self._machine.memory_bytes
        need = (
            f"There is no room for a replica of '{request.endpoint}': it needs about {gb(request.memory_bytes)}, and "
        )
        if request.memory_bytes > total:
            has = f"this machine's replicas may use {gb(total)} together (engine.memory_gb_total)."
            return f"{need}{has} It needs a machine with more memory."
        has = f"{gb(max(0, self._free))} of {gb(total)} are free. "
        has += f"Templates have {gb(self._templates)}. " if self._templates else ""
        return need + has + " ".join(self._holders()) + _WHAT_FREES_IT

    def _holders(self) -> Iterator[str]:
        """The endpoints that use the most memory."""
        sums: dict[str, int] = {}
        busy: dict[str, str] = {}
        for user in self._users:
            sums[user.endpoint] = sums.get(user.endpoint, 0) + user.memory_bytes
            busy[user.endpoint] = "does not scale to zero" if user.stays else "was in use just now"
        for endpoint in sorted(sums, key=lambda endpoint: -sums[endpoint])[:_NAMED]:
            yield f"'{endpoint}' has {gb(sums[endpoint])} and {busy[endpoint]}."
        if len(sums) > _NAMED:
            yield f"{len(sums) - _NAMED} more have the rest."


_WHAT_FREES_IT = " Let an endpoint scale to zero, delete one, or add memory (engine.memory_gb_total)."


def _choose(memory_of: Iterable[tuple[RevisionId, int]], short: int) -> list[tuple[RevisionId, int]]:
    """The first revisions that free `short` bytes, without those that are not needed; all if they are too few."""
    chosen: list[tuple[RevisionId, int]] = []
    had = 0
    for revision, size in memory_of:
        if had >= short:
            break
        chosen.append((revision, size))
        had += size
    for choice in list(chosen):
        if had - choice[1] >= short:
            chosen.remove(choice)
            had -= choice[1]
    return chosen
