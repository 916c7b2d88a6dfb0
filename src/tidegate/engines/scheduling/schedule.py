"""The schedule: a pure function from the held revisions and the running replicas to the actions that are due.

It remembers nothing between two calls. A new target, a crash, a restart of the agent and the end of the platform differ
only in the facts that it is given.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.core.endpoint.revision import ReplicaId, ReplicaState, RevisionId, RevisionTarget
from tidegate.engines.scheduling.capacity import FAR_OVER, REPLACEMENTS_PER_HOUR
from tidegate.engines.scheduling.facts import Limits, ReplicaFacts, RevisionFacts
from tidegate.engines.scheduling.machine_account import admit_starts

# A start counts for this many seconds against the number of starts at once: a model that hangs while it loads must
# not keep others from starting.
SLOT_SECONDS = 30.0
# How many replicas are forked at once. A fork is cheap, and takes no slot of a start.
MOST_FORKS = 8
# While a start waits for memory, the schedule is made anew so often, as no event tells when a revision becomes idle.
NO_CAPACITY_SECONDS = 1.0
HOUR_SECONDS = 3600.0


# --- actions ---


@dataclass(frozen=True, slots=True)
class Start:
    """Start one more replica of a revision: forked from its warm template, or spawned."""

    revision: RevisionId
    fork: bool = False


@dataclass(frozen=True, slots=True)
class Warm:
    """Make the template of a revision, from which the next replica is then forked."""

    revision: RevisionId


@dataclass(frozen=True, slots=True)
class Drain:
    """Ask a replica to finish its requests and end."""

    replica: ReplicaId


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End a replica that was not ready in time: a failed start."""

    replica: ReplicaId


@dataclass(frozen=True, slots=True)
class Kill:
    """End a replica that did not drain in time."""

    replica: ReplicaId


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop a removed revision whose last replica has ended."""

    revision: RevisionId


@dataclass(frozen=True, slots=True)
class Outgrown:
    """Replace a replica that is over its memory limit. `at_once`: end it before its successor is ready."""

    replica: ReplicaId
    at_once: bool


@dataclass(frozen=True, slots=True)
class Evict:
    """Take an idle revision down to zero replicas. `room_for` names the endpoint that needs its memory."""

    revision: RevisionId
    room_for: str


Action = Start | Warm | Drain | GiveUp | Kill | Forget | Outgrown | Evict


@dataclass(frozen=True, slots=True)
class Decision:
    """The actions that are due, and the time of the next decision without an event; None where there is none.

    `refused` has a sentence for each revision that the machine has no memory for. `template_bytes` is the memory that
    templates have to free.
    """

    actions: tuple[Action, ...]
    again_at: float | None
    refused: Mapping[RevisionId, str] = field(default_factory=dict)
    template_bytes: int = 0


def decide(
    held: Mapping[RevisionId, RevisionFacts], replicas: Sequence[ReplicaFacts], limits: Limits, now: float
) -> Decision:
    """The actions that bring the running replicas nearer to the targets of the held revisions."""
    actions: list[Action] = list(_overdue(replicas, limits, now))
    overdue = {action.replica for action in actions if isinstance(action, GiveUp)}
    running = [r for r in replicas if r.state is not ReplicaState.DRAINING and r.id not in overdue]
    actions += [Drain(replica.id) for replica in running if replica.revision not in held]
    missing: list[tuple[int, bool, int, RevisionId]] = []
    for revision, facts in held.items():
        mine = [replica for replica in running if replica.revision == revision]
        actions += _over_limit(facts, mine, replicas, limits, now)
        actions += _surplus(facts, mine)
        missing += _missing(facts, mine, now)
        if facts.removing and all(replica.revision != revision for replica in replicas):
            actions.append(Forget(revision))
    # First the revisions with the fewest ready replicas, and of those the ones that a request waits for. So every
    # revision gets its first replica before any gets a second one.
    line = [revision for *_, revision in sorted(missing)]
    leaving = {action.replica for action in actions if isinstance(action, Drain | GiveUp | Kill)}
    admitted = admit_starts(line, held, replicas, leaving, limits, now)
    actions += [Evict(revision, room_for) for revision, room_for in admitted.evicted.items()]
    actions += [Drain(replica) for replica in admitted.drained]
    actions += _starts(admitted.admitted, held, running, limits, now)
    next_time = _next_time(held, replicas, limits, now)
    if len(admitted.admitted) < len(line):
        next_time = min(next_time or math.inf, now + NO_CAPACITY_SECONDS)
    return Decision(tuple(actions), next_time, admitted.refused, admitted.template_bytes)


def wanted(held: RevisionFacts) -> int:
    """How many replicas a revision must have. Control sets the target, and knows how many the cores can use."""
    if held.removing or held.evicted:
        return 0
    target = held.target
    return min(max(target.replicas, target.min_replicas), target.max_replicas)


def _overdue(replicas: Sequence[ReplicaFacts], limits: Limits, now: float) -> Iterator[Action]:
    for replica in replicas:
        age = now - replica.since
        if replica.state is ReplicaState.STARTING and age >= limits.start_timeout:
            yield GiveUp(replica.id)
        elif replica.state is ReplicaState.DRAINING and not replica.killed and age >= limits.drain_timeout:
            yield Kill(replica.id)


def _surplus(held: RevisionFacts, mine: Sequence[ReplicaFacts]) -> Iterator[Action]:
    """Drain the replicas that are too many.

    Replicas of an earlier launch and those over their memory limit are drained one by one, as their successors become
    ready.
    """
    count = wanted(held)
    ordered = sorted(mine, key=lambda replica: (replica.state is not ReplicaState.READY, replica.since))
    current = [replica for replica in ordered if _current(held, replica)]
    ready = sum(replica.state is ReplicaState.READY for replica in current[:count])
    earlier = [replica for replica in ordered if not _current(held, replica)]
    serving = [replica for replica in earlier if replica.state is ReplicaState.READY]
    kept = {replica.id for replica in (*current[:count], *serving[: max(0, count - ready)])}
    yield from (Drain(replica.id) for replica in mine if replica.id not in kept)


def _missing(
    held: RevisionFacts, mine: Sequence[ReplicaFacts], now: float
) -> Iterator[tuple[int, bool, int, RevisionId]]:
    """One entry for each missing replica: (ready replicas, no request waits, replicas before it, revision).

    The entries sort by urgency.
    """
    if now < held.start_after:
        return
    current = [replica for replica in mine if _current(held, replica)]
    ready = sum(replica.state is ReplicaState.READY for replica in mine)
    count = wanted(held)
    if not ready and (held.failed_starts or not held.proved or not held.can_fork):
        # The revision may not start at all; and several spawned replicas that import at once would all be late.
        count = min(count, 1)
    for place in range(len(current), count):
        yield ready, not held.is_awaited(now), place, held.target.revision


def _current(held: RevisionFacts, replica: ReplicaFacts) -> bool:
    """Whether a replica fits the target; any other is to be replaced."""
    return replica.launch == held.launch and not replica.outgrown


# --- memory


def replaceable(target: RevisionTarget, replaced_at: Sequence[float], now: float) -> bool:
    """Whether one more replica may be replaced for its memory. A model that is too large would be replaced for ever."""
    lately = [at for at in replaced_at if now - at < HOUR_SECONDS]
    return len(lately) < REPLACEMENTS_PER_HOUR * max(1, target.replicas)


def _over_limit(
    held: RevisionFacts, mine: Sequence[ReplicaFacts], replicas: Sequence[ReplicaFacts], limits: Limits, now: float
) -> Iterator[Action]:
    limit = held.target.memory_bytes
    over = [replica for replica in mine if limit and replica.memory_bytes > limit]
    if not over:
        return
    used = limits.templates_bytes + sum(replica.memory_bytes for replica in replicas)
    short = 0 < limits.memory_bytes < used
    for replica in over:
        at_once = short or replica.memory_bytes > FAR_OVER * limit
        ready = replica.state is ReplicaState.READY
        if (replica.outgrown or replica.ready_bytes > limit) and not at_once:
            continue  # its successor is on its way, or would be as large
        if (short or replaceable(held.target, held.replaced_at, now)) and (ready or at_once):
            yield Outgrown(replica.id, at_once)


def _starts(
    missing: Sequence[RevisionId],
    held: Mapping[RevisionId, RevisionFacts],
    running: Sequence[ReplicaFacts],
    limits: Limits,
    now: float,
) -> Iterator[Action]:
    """Start as many of the missing replicas as may start at once, and make the templates that others wait for."""
    starting = [r for r in running if r.state is ReplicaState.STARTING and now - r.since < SLOT_SECONDS]
    forked = sum(replica.forked for replica in starting)
    free = {True: MOST_FORKS - forked, False: limits.concurrent_starts - (len(starting) - forked)}
    for revision in dict.fromkeys(missing):
        facts = held[revision]
        # A new template and a fork together take as long as a spawned replica; both at once would take twice as long.
        if not facts.can_fork and facts.can_warm:
            yield Warm(revision)
    for revision in missing:
        facts = held[revision]
        waits = not facts.can_fork and (facts.can_warm or now < facts.template_until)
        if not waits and free[facts.can_fork] > 0:
            free[facts.can_fork] -= 1
            yield Start(revision, facts.can_fork)


def _next_time(
    held: Mapping[RevisionId, RevisionFacts], replicas: Sequence[ReplicaFacts], limits: Limits, now: float
) -> float | None:
    times = [time for facts in held.values() for time in (facts.start_after, facts.template_until)]
    for replica in replicas:
        if replica.state is ReplicaState.STARTING:
            times += [replica.since + SLOT_SECONDS, replica.since + limits.start_timeout]
        elif replica.state is ReplicaState.DRAINING:
            times.append(replica.since + limits.drain_timeout)
    return min((time for time in times if time > now), default=None)
