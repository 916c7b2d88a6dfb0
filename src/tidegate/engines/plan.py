"""What an agent does next: a pure function from what it holds and what runs to the actions that are due.

Level-triggered: it never remembers. A new target, a crash, a restart of the agent and the end of the platform are the
same walk from different starting points.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tidegate.core.revision import ReplicaId, ReplicaState, RevisionId, RevisionTarget

# A start that takes longer no longer counts against the number of starts at once: a model that hangs while it loads
# must not keep others from starting.
SLOT_SECONDS = 30.0
# Forks of warm templates are cheap: they take no slot, but no more than so many are under way at once.
MOST_FORKS = 8


@dataclass(frozen=True, slots=True)
class Held:
    """A revision that the agent holds. `launch` names what its replicas must be started with (see `launch_digest`).

    `forks`: its next replica can be forked from a warm template.
    """

    target: RevisionTarget
    launch: str
    removing: bool = False
    proved: bool = False
    failed_starts: int = 0
    start_after: float = -math.inf  # monotonic seconds
    forks: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """What is known of a replica. `since` is when it entered its state, in monotonic seconds."""

    id: ReplicaId
    revision: RevisionId
    launch: str
    state: ReplicaState
    since: float
    killed: bool = False
    forked: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the agent. Times are seconds."""

    cores: int
    concurrent_starts: int
    start_timeout: float
    drain_timeout: float


# --- actions ---


@dataclass(frozen=True, slots=True)
class Start:
    """Start one more replica of a revision; by a fork of its warm template, or in a process of its own."""

    revision: RevisionId
    fork: bool = False


@dataclass(frozen=True, slots=True)
class Drain:
    """Ask a replica to finish what it has begun and end."""

    replica: ReplicaId


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End a replica that did not become ready in time: a failed start."""

    replica: ReplicaId


@dataclass(frozen=True, slots=True)
class Kill:
    """End a replica that did not drain in time."""

    replica: ReplicaId


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop a removed revision of which nothing runs any more."""

    revision: RevisionId


Action = Start | Drain | GiveUp | Kill | Forget


@dataclass(frozen=True, slots=True)
class Decision:
    """The actions that are due, and when to decide again though nothing happened (None: never)."""

    actions: tuple[Action, ...]
    again_at: float | None


def decide(held: Mapping[RevisionId, Held], replicas: Sequence[ReplicaFacts], limits: Limits, now: float) -> Decision:
    """The actions that bring what runs nearer to what is held."""
    actions: list[Action] = list(_overdue(replicas, limits, now))
    overdue = {action.replica for action in actions if isinstance(action, GiveUp)}
    going = [r for r in replicas if r.state is not ReplicaState.DRAINING and r.id not in overdue]
    actions += [Drain(replica.id) for replica in going if replica.revision not in held]
    missing: list[tuple[int, int, RevisionId]] = []
    for revision, one in held.items():
        mine = [replica for replica in going if replica.revision == revision]
        actions += _surplus(one, mine)
        missing += _missing(one, mine, now)
        if one.removing and all(replica.revision != revision for replica in replicas):
            actions.append(Forget(revision))
    # Those with the fewest ready replicas first, then those with the fewest under way: everybody gets the first one
    # before anybody gets the second.
    actions += _starts([revision for *_, revision in sorted(missing)], held, going, limits, now)
    return Decision(tuple(actions), _next_time(held, replicas, limits, now))


def wanted(held: Held) -> int:
    """How many replicas there must be. What is of use on so many cores, who sets the target knows."""
    if held.removing:
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


def _surplus(held: Held, mine: Sequence[ReplicaFacts]) -> Iterator[Action]:
    """Drain what is too many. Replicas of an earlier launch go one by one, as those of the present one become ready."""
    count = wanted(held)
    ordered = sorted(mine, key=lambda replica: (replica.state is not ReplicaState.READY, replica.since))
    current = [replica for replica in ordered if replica.launch == held.launch]
    ready = sum(replica.state is ReplicaState.READY for replica in current[:count])
    earlier = [replica for replica in ordered if replica.launch != held.launch]
    serving = [replica for replica in earlier if replica.state is ReplicaState.READY]
    kept = {replica.id for replica in (*current[:count], *serving[: max(0, count - ready)])}
    yield from (Drain(replica.id) for replica in mine if replica.id not in kept)


def _missing(held: Held, mine: Sequence[ReplicaFacts], now: float) -> Iterator[tuple[int, int, RevisionId]]:
    """One entry for each replica to start: (ready replicas, those before it in line, revision)."""
    if now < held.start_after:
        return
    current = [replica for replica in mine if replica.launch == held.launch]
    ready = sum(replica.state is ReplicaState.READY for replica in mine)
    count = wanted(held)
    if not ready and (held.failed_starts or not held.proved):
        count = min(count, 1)  # not known to start at all: one try at a time
    for place in range(len(current), count):
        yield ready, place, held.target.revision


def _starts(
    missing: Sequence[RevisionId],
    held: Mapping[RevisionId, Held],
    going: Sequence[ReplicaFacts],
    limits: Limits,
    now: float,
) -> Iterator[Start]:
    """As many of the missing as may start at once."""
    starting = [r for r in going if r.state is ReplicaState.STARTING and now - r.since < SLOT_SECONDS]
    forked = sum(replica.forked for replica in starting)
    free = {True: MOST_FORKS - forked, False: limits.concurrent_starts - (len(starting) - forked)}
    for revision in missing:
        fork = held[revision].forks
        if free[fork] > 0:
            free[fork] -= 1
            yield Start(revision, fork)


def _next_time(
    held: Mapping[RevisionId, Held], replicas: Sequence[ReplicaFacts], limits: Limits, now: float
) -> float | None:
    times = [one.start_after for one in held.values()]
    for replica in replicas:
        if replica.state is ReplicaState.STARTING:
            times += [replica.since + SLOT_SECONDS, replica.since + limits.start_timeout]
        elif replica.state is ReplicaState.DRAINING:
            times.append(replica.since + limits.drain_timeout)
    return min((time for time in times if time > now), default=None)
