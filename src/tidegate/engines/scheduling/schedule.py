"""What an agent does next: a pure function from what it holds and what runs to the actions that are due.

Level-triggered: it never remembers. A new target, a crash, a restart of the agent and the end of the platform are the
same walk from different starting points.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.core.endpoint.revision import ReplicaId, ReplicaState, RevisionId, RevisionTarget
from tidegate.engines.scheduling.capacity import FAR_OVER, REPLACEMENTS_PER_HOUR
from tidegate.engines.scheduling.facts import Limits, ReplicaFacts, RevisionFacts
from tidegate.engines.scheduling.machine_account import room

# A start that takes longer no longer counts against the number of starts at once: a model that hangs while it loads
# must not keep others from starting.
SLOT_SECONDS = 30.0
# Forks of warm templates are cheap: they take no slot, but no more than so many are under way at once.
MOST_FORKS = 8
# What waits for room is looked at so often: that somebody has become idle is no event.
ROOM_SECONDS = 1.0
HOUR_SECONDS = 3600.0


# --- actions ---


@dataclass(frozen=True, slots=True)
class Start:
    """Start one more replica of a revision; by a fork of its warm template, or in a process of its own."""

    revision: RevisionId
    fork: bool = False


@dataclass(frozen=True, slots=True)
class Warm:
    """Make the template of a revision, of which the next replica is then forked."""

    revision: RevisionId


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


@dataclass(frozen=True, slots=True)
class Outgrown:
    """Note that a replica is over its memory limit, so that another takes its place; `at_once`: end it now."""

    replica: ReplicaId
    at_once: bool


@dataclass(frozen=True, slots=True)
class Evict:
    """Take an idle revision down to zero; `room_for` names the endpoint that needs its memory."""

    revision: RevisionId
    room_for: str


Action = Start | Warm | Drain | GiveUp | Kill | Forget | Outgrown | Evict


@dataclass(frozen=True, slots=True)
class Decision:
    """The actions that are due, and when to decide again though nothing happened (None: never).

    `refused` has a sentence for each revision that there is no room for; `template_bytes` is what templates must give.
    """

    actions: tuple[Action, ...]
    again_at: float | None
    refused: Mapping[RevisionId, str] = field(default_factory=dict)
    template_bytes: int = 0


def decide(
    held: Mapping[RevisionId, RevisionFacts], replicas: Sequence[ReplicaFacts], limits: Limits, now: float
) -> Decision:
    """The actions that bring what runs nearer to what is held."""
    actions: list[Action] = list(_overdue(replicas, limits, now))
    overdue = {action.replica for action in actions if isinstance(action, GiveUp)}
    going = [r for r in replicas if r.state is not ReplicaState.DRAINING and r.id not in overdue]
    actions += [Drain(replica.id) for replica in going if replica.revision not in held]
    missing: list[tuple[int, bool, int, RevisionId]] = []
    for revision, one in held.items():
        mine = [replica for replica in going if replica.revision == revision]
        actions += _over_limit(one, mine, replicas, limits, now)
        actions += _surplus(one, mine)
        missing += _missing(one, mine, now)
        if one.removing and all(replica.revision != revision for replica in replicas):
            actions.append(Forget(revision))
    # Those with the fewest ready replicas first, and of them those that somebody waits for; then those with the fewest
    # under way: everybody gets the first one before anybody gets the second.
    line = [revision for *_, revision in sorted(missing)]
    leaving = {action.replica for action in actions if isinstance(action, Drain | GiveUp | Kill)}
    verdict = room(line, held, replicas, leaving, limits, now)
    actions += [Evict(revision, room_for) for revision, room_for in verdict.evicted.items()]
    actions += [Drain(replica) for replica in verdict.drained]
    actions += _starts(verdict.admitted, held, going, limits, now)
    next_time = _next_time(held, replicas, limits, now)
    if len(verdict.admitted) < len(line):
        next_time = min(next_time or math.inf, now + ROOM_SECONDS)
    return Decision(tuple(actions), next_time, verdict.refused, verdict.template_bytes)


def wanted(held: RevisionFacts) -> int:
    """How many replicas there must be. What is of use on so many cores, who sets the target knows."""
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
    """Drain what is too many. Replicas of an earlier launch, and those that have outgrown their memory, go one by one,
    as others become ready.
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
    """One entry for each replica to start: (ready replicas, nobody waits, those before it in line, revision)."""
    if now < held.start_after:
        return
    current = [replica for replica in mine if _current(held, replica)]
    ready = sum(replica.state is ReplicaState.READY for replica in mine)
    count = wanted(held)
    if not ready and (held.failed_starts or not held.proved or not held.forks):
        # Not known to start at all; or several that import side by side, and all of them are late.
        count = min(count, 1)
    for place in range(len(current), count):
        yield ready, not held.is_awaited(now), place, held.target.revision


def _current(held: RevisionFacts, replica: ReplicaFacts) -> bool:
    """Whether it is what is wanted now; else another takes its place."""
    return replica.launch == held.launch and not replica.outgrown


# --- memory


def replaceable(target: RevisionTarget, replaced_at: Sequence[float], now: float) -> bool:
    """Whether one more replica may be replaced for its memory: a model that is too large would be so for ever."""
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
            continue  # another is on its way, or would be no smaller
        if (short or replaceable(held.target, held.replaced_at, now)) and (ready or at_once):
            yield Outgrown(replica.id, at_once)


def _starts(
    missing: Sequence[RevisionId],
    held: Mapping[RevisionId, RevisionFacts],
    going: Sequence[ReplicaFacts],
    limits: Limits,
    now: float,
) -> Iterator[Action]:
    """As many of the missing as may start at once; what is waited for instead is made."""
    starting = [r for r in going if r.state is ReplicaState.STARTING and now - r.since < SLOT_SECONDS]
    forked = sum(replica.forked for replica in starting)
    free = {True: MOST_FORKS - forked, False: limits.concurrent_starts - (len(starting) - forked)}
    for revision in dict.fromkeys(missing):
        one = held[revision]
        # A template and then a fork are as quick as a process of its own; both at a time would be half as quick.
        if not one.forks and one.may_warm:
            yield Warm(revision)
    for revision in missing:
        one = held[revision]
        waits = not one.forks and (one.may_warm or now < one.template_until)
        if not waits and free[one.forks] > 0:
            free[one.forks] -= 1
            yield Start(revision, one.forks)


def _next_time(
    held: Mapping[RevisionId, RevisionFacts], replicas: Sequence[ReplicaFacts], limits: Limits, now: float
) -> float | None:
    times = [time for one in held.values() for time in (one.start_after, one.template_until)]
    for replica in replicas:
        if replica.state is ReplicaState.STARTING:
            times += [replica.since + SLOT_SECONDS, replica.since + limits.start_timeout]
        elif replica.state is ReplicaState.DRAINING:
            times.append(replica.since + limits.drain_timeout)
    return min((time for time in times if time > now), default=None)
