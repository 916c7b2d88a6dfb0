"""How many replicas a revision should have: a pure function of its policy, what was seen of its load, and the time.

Up at once, down slowly. The demand is measured work, in replicas (Little's law: requests/s × a replica's seconds for
each), never more than the requests that are there. Two windows of it, and the panic between them, are Knative's
(`pkg/autoscaler/scaling/autoscaler.go`); what waits too long is a third reason, and a faster one. What is not known
never takes a replica away.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tidegate.core.endpoint.served_entity import ScalingPolicy
from tidegate.core.scaling.cpu_share import CpuShare
from tidegate.core.scaling.load_window import LoadPoint, LoadWindow, Stretch

STABLE_SECONDS, PANIC_SECONDS = 60.0, 6.0
# Demand of the short window that is so many times what is ready is a panic: nothing goes for a stable window.
PANIC_FACTOR = 2.0
# The share of their time that replicas should be busy. Down only where the rest would not be busier than so.
TARGET_UTILISATION, LOW_UTILISATION = 0.7, 0.6
# What a request may wait, seconds, or so many times what it takes itself. Before it has waited at all, nothing is due.
WAIT_BUDGET_SECONDS, WAIT_BUDGET_TIMES, WAITS_SECONDS = 0.25, 2.0, 0.1
# While requests are through so fast, seconds, the batches of a replica that takes many at once absorb the load.
ABSORBED_SECONDS = 0.02
# Beside replicas that are held up: one that serves, and one for when that one is held up too, or one is started anew.
STAND_INS = 2
# Gateways use a replica so soon after it is ready, seconds. Who reported waiting before that has waited for the start.
SETTLE_SECONDS = 0.2
# A step down is at most to half, and at least to so much: less is not worth the unrest. The next one comes so much
# later, seconds: the first must be felt.
SMALLEST_STEP, STEP_SECONDS = 2 / 3, PANIC_SECONDS
# What was needed so lately, seconds, is kept. A revision that grows again soon after it shrank is kept longer, twice as
# long each time; never longer than its owner lets it idle.
LONGEST_DELAY_SECONDS = 600.0
# An average over less says nothing of the time that a request takes.
_SHORTEST_SECONDS = 0.2
# Replicas that use so much of all cores are bound by them, whatever they seem to use each.
CORES_ARE_BUSY = 0.6


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of a revision now. `held` is how many replicas the engine holds it to, `ready` those that predict.

    `known_since` is the time from which on all gateways have reported without a gap; None while one is missing.
    `batched` replicas take many requests at once. While `rolling_out`, an update of its endpoint is on its way.
    """

    load: LoadPoint
    held: int
    ready: int
    known_since: float | None
    batched: bool = False
    rolling_out: bool = False


@dataclass(frozen=True, slots=True)
class ScalingState:
    """What is remembered of a revision between two decisions. Times are monotonic seconds."""

    replicas: int
    since: float
    window: LoadWindow = field(default_factory=lambda: LoadWindow(STABLE_SECONDS))
    active_at: float = -math.inf  # when a request was here last
    changed_at: float = -math.inf
    ready_at: float = math.inf  # since when all replicas are ready; infinite while they are not
    down_at: float = -math.inf
    delay: float = STABLE_SECONDS  # before anything goes
    panic_at: float = -math.inf
    needs: tuple[tuple[float, int], ...] = ()  # the largest of the delay, falling: when last, and how many
    service_seconds: float | None = None
    share: CpuShare = field(default_factory=CpuShare)


@dataclass(frozen=True, slots=True)
class ScaleDecision:
    """How many replicas there should be, and why where that is another number than before."""

    replicas: int
    reason: str = ""


def decide(
    policy: ScalingPolicy, state: ScalingState, sight: Sight, cores: int, now: float
) -> tuple[ScaleDecision, ScalingState]:
    """How many replicas the revision should have from now on, and what to remember until the next decision.

    A number within the policy's bounds. It grows without a delay; it falls by half at most, to what the last stable
    window needed at most, and on to nothing after the policy's idle time; never while something is not known.
    """
    state = _seen(state, sight, now)
    limit = _limit(policy, state, cores)
    wants = list(_wants(policy, state, sight, limit))
    state = _remembered(state, sight, limit, now)
    most = max(wants, key=lambda want: want.replicas)
    decision = most if most.replicas > state.replicas else _fewer(policy, state, sight, max(1, most.replicas), now)
    if decision.replicas == state.replicas:
        return ScaleDecision(state.replicas), state
    if decision.replicas == policy.max_replicas > state.replicas:
        decision = replace(decision, reason=f"{decision.reason}; that is the most that it may have")
    return decision, _changed(policy, state, decision.replicas, now)


def _changed(policy: ScalingPolicy, state: ScalingState, replicas: int, now: float) -> ScalingState:
    """The state with another number of replicas. Up again soon after down was a step too early."""
    if replicas < state.replicas:
        return replace(state, replicas=replicas, changed_at=now, down_at=now)
    longest = max(STABLE_SECONDS, min(LONGEST_DELAY_SECONDS, policy.idle_timeout_seconds))
    lately = state.replicas > 0 and state.changed_at == state.down_at > now - 2 * state.delay
    calm = now - state.down_at > LONGEST_DELAY_SECONDS
    delay = min(2 * state.delay, longest) if lately else STABLE_SECONDS if calm else state.delay
    return replace(state, replicas=replicas, changed_at=now, delay=delay)


# --- what is seen


def _seen(state: ScalingState, sight: Sight, now: float) -> ScalingState:
    """The state with what is seen now."""
    load, window = sight.load, state.window
    came = bool(window.points) and load.requests > window.newest.requests
    window = window.plus(load)
    recent = window.over(PANIC_SECONDS, _SHORTEST_SECONDS)
    service = recent.service_seconds if recent else None
    all_ready = sight.ready >= max(1, state.replicas)
    return replace(
        state,
        window=window,
        ready_at=min(state.ready_at, now) if all_ready else math.inf,
        active_at=now if came or load.at_once or _woken(state, sight) else state.active_at,
        service_seconds=state.service_seconds if service is None else service,
        share=state.share.plus(load.at, load.cpu_seconds, load.busy_seconds),
    )


def _woken(state: ScalingState, sight: Sight) -> bool:
    """Whether a gateway has had the engine start it."""
    return sight.held > state.replicas == 0


def _limit(policy: ScalingPolicy, state: ScalingState, cores: int) -> int:
    """The most that is of use: as many as keep all cores busy. What it is while that is not known, one for each."""
    share, recent = state.share.value, state.window.over(PANIC_SECONDS)
    useful = cores if share is None else int(cores / max(share, 0.01))
    if recent is not None and recent.cores >= CORES_ARE_BUSY * cores:
        useful = min(useful, max(cores, state.replicas))
    return max(1, policy.min_replicas, min(policy.max_replicas, useful))


# --- what is wanted


def _wants(policy: ScalingPolicy, state: ScalingState, sight: Sight, limit: int) -> Iterator[ScaleDecision]:
    """Every reason to have replicas, and how many."""
    yield ScaleDecision(policy.min_replicas, "the fewest that it may have")
    load, stable, panic = sight.load, state.window.over(STABLE_SECONDS), state.window.over(PANIC_SECONDS)
    if load.at_once or _woken(state, sight):
        yield ScaleDecision(1, "a request came")
    if load.queued and load.oldest_wait_seconds >= WAITS_SECONDS:
        yield ScaleDecision(min(limit, _needed_now(state, sight, panic)), _waiting(load))
    if load.stuck > 1 or (load.stuck and load.queued):
        yield ScaleDecision(min(policy.max_replicas, load.stuck + STAND_INS), _stuck(load))
    if not state.replicas or _idle(policy, state, sight, load.at) or _absorbed(sight, panic):
        return  # what is over does not wake, and keeps nothing
    if stable is not None:
        yield ScaleDecision(min(limit, _needed(stable, state, sight)), _at_once(stable))
    if panic is not None:
        needed = _needed(panic, state, sight)
        if needed >= PANIC_FACTOR * max(1, sight.ready) or _panics(state, load.at):
            yield ScaleDecision(min(limit, needed), _at_once(panic))


def _absorbed(sight: Sight, recent: Stretch | None) -> bool:
    """Whether a replica's batches take in all that comes: more replicas would only make them smaller."""
    stay = recent.stay_seconds if recent else 0.0
    return sight.batched and min(sight.load.oldest_wait_seconds, stay) < ABSORBED_SECONDS


def _needed(stretch: Stretch, state: ScalingState, sight: Sight, utilisation: float = TARGET_UTILISATION) -> int:
    return math.ceil(_demand(stretch, state, sight) / (utilisation if state.service_seconds else 1.0))


def _demand(stretch: Stretch, state: ScalingState, sight: Sight) -> float:
    """Replicas' worth of work in a stretch of time: what came, and what waits all the while."""
    service = state.service_seconds
    if service is None:
        return min(stretch.at_once, 1.0) if sight.batched else stretch.at_once
    work = max(stretch.busy, stretch.rate * service)
    if not _starting(state, sight):
        work += max(0.0, min(stretch.at_once - stretch.busy, sight.load.queued)) * _urgency(service)
    return min(stretch.at_once, work)


def _starting(state: ScalingState, sight: Sight) -> bool:
    """Whether replicas are on their way, for which alone requests may wait."""
    return min(sight.load.at, sight.load.reported_at) < state.ready_at + SETTLE_SECONDS


def _urgency(service: float) -> float:
    """The part of a replica that a waiting request needs, so that it begins within what it may wait."""
    return min(1.0, service / WAIT_BUDGET_SECONDS)


def _needed_now(state: ScalingState, sight: Sight, recent: Stretch | None) -> int:
    """Enough for what comes and, unless replicas are starting already, to be through with what waits in time."""
    load, service, starting = sight.load, state.service_seconds, _starting(state, sight)
    if service is None:
        needed = 1 if sight.batched else load.at_once
    else:
        coming = _demand(recent, state, sight) / TARGET_UTILISATION if recent else 0.0
        waiting = 0.0 if starting else load.queued * _urgency(service)
        needed = math.ceil(min(load.at_once, coming + waiting))
    budget = max(WAIT_BUDGET_SECONDS, WAIT_BUDGET_TIMES * (service or 0.0))
    if load.oldest_wait_seconds > budget and not starting:
        return max(needed, state.replicas + 1)
    ahead = load.queued * (service or 0.0) / max(1, sight.ready)
    return needed if load.oldest_wait_seconds > budget or ahead > budget or service is None else 0


def _panics(state: ScalingState, now: float) -> bool:
    return now < state.panic_at + STABLE_SECONDS


def _at_once(stretch: Stretch) -> str:
    return f"{stretch.at_once:.1f} requests at once over the last {stretch.seconds:.0f} s"


def _waiting(load: LoadPoint) -> str:
    return f"{_wait(load)}, the oldest for {load.oldest_wait_seconds:.2f} s"


def _wait(load: LoadPoint) -> str:
    return "1 request waits" if load.queued == 1 else f"{load.queued} requests wait"


def _stuck(load: LoadPoint) -> str:
    which = "a replica is" if load.stuck == 1 else f"{load.stuck} replicas are"
    return f"{which} held up far longer than usual, and {_wait(load)}"


# --- down


def _idle(policy: ScalingPolicy, state: ScalingState, sight: Sight, now: float) -> bool:
    """Whether it may have no replica, and was seen to have no request for as long as its owner lets it idle."""
    if policy.min_replicas or sight.load.at_once or sight.known_since is None:
        return False
    return now - max(sight.known_since, state.since, state.active_at) >= policy.idle_timeout_seconds


def _remembered(state: ScalingState, sight: Sight, limit: int, now: float) -> ScalingState:
    """The state with what is needed now, so that nothing goes that was needed a moment ago."""
    recent, needed = state.window.over(PANIC_SECONDS), 0
    if recent is not None:
        needed = _needed(recent, state, sight, LOW_UTILISATION)
        panics = _needed(recent, state, sight) >= PANIC_FACTOR * max(1, sight.ready)
        if panics and not _absorbed(sight, recent):
            state = replace(state, panic_at=now)
    if sight.load.queued:
        needed = max(needed, _needed_now(state, sight, recent))
    needed = min(limit, needed)
    if sight.load.stuck:
        needed = max(needed, sight.load.stuck + STAND_INS)  # whatever holds them up, they are of no use
    kept = [(at, need) for at, need in state.needs if at > now - state.delay and need > needed]
    return replace(state, needs=(*kept, (now, needed)))


def _fewer(policy: ScalingPolicy, state: ScalingState, sight: Sight, least: int, now: float) -> ScaleDecision:
    """Fewer replicas, where all is known and nothing speaks against it."""
    count = state.replicas
    if sight.known_since is None or sight.rolling_out or count <= policy.min_replicas:
        return ScaleDecision(count)
    if _idle(policy, state, sight, now):
        due = count == 1 or now >= state.changed_at + min(STEP_SECONDS, policy.idle_timeout_seconds)
        return ScaleDecision(count // 2 if due else count, f"no request for {policy.idle_timeout_seconds:g} s")
    seen = now - max(sight.known_since, state.since)
    if count == 1 or seen < STABLE_SECONDS or _panics(state, now) or now < state.changed_at + STEP_SECONDS:
        return ScaleDecision(count)
    busy = 0 if sight.batched else sight.load.in_flight
    fewer = max(least, state.needs[0][1], math.ceil(count / 2), busy)
    worth_it = fewer <= count * SMALLEST_STEP
    return ScaleDecision(fewer if worth_it else count, f"no more was needed for {state.delay:g} s")
