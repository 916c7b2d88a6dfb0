"""The machine's account, and who gets room on it: a pure function from what is used and wished for to a verdict.

Memory is what runs out. Processor time is shared, so it is bounded by the number of replicas (see `plan.wanted`); GPUs
are counted, and no model asks for one yet. A replica counts with what was measured, a start with what replicas of its
revision used last, or with an estimate. Who waits for its first replica may have idle revisions evicted; what does not
fit is told by name, with who has the room.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.core.endpoint.revision import ReplicaId, RevisionId

# What a replica is taken to use before one of its revision was measured.
ESTIMATE_BYTES = 256 * 1024 * 1024
# A revision that nobody has used for so long may be evicted: for a request that waits, and for what can wait.
PATIENCE_AWAITED_SECONDS, PATIENCE_SECONDS = 5.0, 60.0
# So many times its limit a replica is ended without waiting for another one: it may take the machine with it.
FAR_OVER = 1.5
# Replicas over their limit that are replaced within an hour, for each that the revision is to have.
REPLACEMENTS_PER_HOUR = 12
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Machine:
    """What replicas and templates may use of a machine, all together."""

    memory_bytes: int
    cores: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Tenant:
    """A replica in the account. `idle_seconds` is for how long nobody has used its revision; 0 while somebody does."""

    replica: ReplicaId
    revision: RevisionId
    endpoint: str
    memory_bytes: int
    leaving: bool = False  # it ends: its room comes free
    stays: bool = False  # its revision may not go down to zero
    idle_seconds: float = 0.0
    outgrown: bool = False  # it is to be replaced
    parked: bool = False  # its revision is held for a rollback only


@dataclass(frozen=True, slots=True)
class Wish:
    """A start that is due. `awaited`: a request waits for it."""

    revision: RevisionId
    endpoint: str
    memory_bytes: int
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to happen for the wishes, in their order.

    `admitted` may start now. `evicted` are revisions that go down to zero, each with the endpoint that it makes room
    for, or nothing where more was used than there is;
    `drained` are replicas that make room for their own successors; `template_bytes` is what templates are to give.
    `refused` has a sentence on each revision that there is no room for. A wish that is in none of them waits for room
    that is on its way.
    """

    admitted: tuple[RevisionId, ...] = ()
    evicted: Mapping[RevisionId, str] = field(default_factory=dict)
    drained: tuple[ReplicaId, ...] = ()
    template_bytes: int = 0
    refused: Mapping[RevisionId, str] = field(default_factory=dict)


def admit(wishes: Sequence[Wish], tenants: Sequence[Tenant], machine: Machine, templates_bytes: int = 0) -> Verdict:
    """Who gets room. Wishes come first things first: what waits for room keeps it from those behind it."""
    return _Admission(tenants, machine, templates_bytes).of(wishes)


class _Admission:
    """The account while wishes are gone through. `_free` may be under 0: then it is promised beyond what is there."""

    def __init__(self, tenants: Sequence[Tenant], machine: Machine, templates_bytes: int) -> None:
        self._tenants, self._machine, self._templates = tenants, machine, templates_bytes
        self._free = machine.memory_bytes - templates_bytes - sum(tenant.memory_bytes for tenant in tenants)
        self._coming = sum(tenant.memory_bytes for tenant in tenants if tenant.leaving)
        self._admitted: list[RevisionId] = []
        self._evicted: dict[RevisionId, str] = {}
        self._drained: list[ReplicaId] = []
        self._from_templates = 0
        self._refused: dict[RevisionId, str] = {}

    def of(self, wishes: Sequence[Wish]) -> Verdict:
        self._relieve()
        for wish in wishes:
            if wish.revision not in self._refused:
                self._take(wish)
        return Verdict(tuple(self._admitted), self._evicted, tuple(self._drained), self._from_templates, self._refused)

    def _relieve(self) -> None:
        """Where more is used than there is, idle revisions go, as far as there are any."""
        short = -self._free - self._coming
        if short > 0:
            chosen = _choose(self._idle(PATIENCE_AWAITED_SECONDS), short)
            self._evicted |= {revision: "" for revision, _ in chosen}
            self._coming += sum(room for _, room in chosen)

    def _take(self, wish: Wish) -> None:
        if wish.memory_bytes <= self._free:
            self._admitted.append(wish.revision)
        elif not self._make_room(wish, wish.memory_bytes - self._free - self._coming):
            self._refused[wish.revision] = self._sentence(wish)
            return
        self._free -= wish.memory_bytes

    def _make_room(self, wish: Wish, short: int) -> bool:
        """Whether so much is on its way, or can be had from those who do not need it."""
        if short <= 0:
            return True
        patience = PATIENCE_AWAITED_SECONDS if wish.awaited else PATIENCE_SECONDS
        chosen = _choose(self._idle(patience, wish.revision), short)
        had = sum(room for _, room in chosen)
        rest = short - had
        if rest > 0 and rest <= self._templates - self._from_templates:
            self._from_templates += rest
        elif rest > 0:
            return self._make_way_for_itself(wish, short)
        self._evicted |= dict.fromkeys((revision for revision, _ in chosen), wish.endpoint)
        self._coming += had + max(0, rest)
        return True

    def _make_way_for_itself(self, wish: Wish, short: int) -> bool:
        """A replica that is to be replaced goes first where there is no room for both."""
        for tenant in self._tenants:
            if tenant.outgrown and tenant.revision == wish.revision and self._may_go(tenant):
                self._drained.append(tenant.replica)
                self._coming += tenant.memory_bytes
                return tenant.memory_bytes >= short
        return False

    def _may_go(self, tenant: Tenant) -> bool:
        return not tenant.leaving and tenant.replica not in self._drained and tenant.revision not in self._evicted

    def _idle(self, patience: float, besides: RevisionId | None = None) -> list[tuple[RevisionId, int]]:
        """Revisions that may be evicted and what each gives: those that are parked, then those idle longest."""
        rooms: dict[RevisionId, int] = {}
        for tenant in sorted(self._tenants, key=lambda one: (not one.parked, -one.idle_seconds, one.revision)):
            long = PATIENCE_AWAITED_SECONDS if tenant.parked else patience
            idle = not tenant.stays and tenant.idle_seconds >= long and tenant.revision != besides
            if idle and self._may_go(tenant):
                rooms[tenant.revision] = rooms.get(tenant.revision, 0) + tenant.memory_bytes
        return list(rooms.items())

    # --- words

    def _sentence(self, wish: Wish) -> str:
        """What does not fit, and what would free it."""
        total = self._machine.memory_bytes
        need = f"There is no room for a replica of '{wish.endpoint}': it needs about {gb(wish.memory_bytes)}, and "
        if wish.memory_bytes > total:
            has = f"this machine's replicas may use {gb(total)} together (engine.memory_gb_total)."
            return f"{need}{has} It needs a machine with more memory."
        has = f"{gb(max(0, self._free))} of {gb(total)} are free. "
        has += f"Templates have {gb(self._templates)}. " if self._templates else ""
        return need + has + " ".join(self._holders()) + _WHAT_FREES_IT

    def _holders(self) -> Iterator[str]:
        """Who has the most."""
        sums: dict[str, int] = {}
        busy: dict[str, str] = {}
        for tenant in self._tenants:
            sums[tenant.endpoint] = sums.get(tenant.endpoint, 0) + tenant.memory_bytes
            busy[tenant.endpoint] = "does not scale to zero" if tenant.stays else "was in use just now"
        for endpoint in sorted(sums, key=lambda endpoint: -sums[endpoint])[:_NAMED]:
            yield f"'{endpoint}' has {gb(sums[endpoint])} and {busy[endpoint]}."
        if len(sums) > _NAMED:
            yield f"{len(sums) - _NAMED} more have the rest."


_WHAT_FREES_IT = " Let an endpoint scale to zero, delete one, or add memory (engine.memory_gb_total)."


def _choose(rooms: Iterable[tuple[RevisionId, int]], short: int) -> list[tuple[RevisionId, int]]:
    """The first that together give so much, without those that are not needed for it; all, where all are too few."""
    chosen: list[tuple[RevisionId, int]] = []
    had = 0
    for revision, room in rooms:
        if had >= short:
            break
        chosen.append((revision, room))
        had += room
    for one in list(chosen):
        if had - one[1] >= short:
            chosen.remove(one)
            had -= one[1]
    return chosen


def gb(size: int) -> str:
    """Bytes for a person, in 10^9 bytes."""
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.0f} MB"
