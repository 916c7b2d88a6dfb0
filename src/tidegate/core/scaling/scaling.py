"""Decides how many replicas a revision should have: a pure function of its policy, its observed load, and the time.

The number grows at once and falls slowly. The demand is the measured work in replicas (Little's law: requests/s ×
seconds of a replica for each), and at most the number of requests. It is averaged over a stable and a panic window, as
in Knative (`pkg/autoscaler/scaling/autoscaler.go`). Requests that wait too long are a further, faster reason to grow.
While the load is not known completely, the number never falls.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tidegate.core.endpoint.served_entity import ScalingPolicy
from tidegate.core.scaling.cpu_share import CpuShare
from tidegate.core.scaling.load_window import LoadPoint, LoadWindow, Stretch

STABLE_SECONDS, PANIC_SECONDS = 60.0, 6.0
# A panic is a demand over the panic window of this many times the ready replicas. From then on the number of replicas
# does not fall for STABLE_SECONDS.
PANIC_FACTOR = 2.0
# The share of their time that replicas should be busy, and the share up to which the rest may be busy after a step
# down.
TARGET_UTILISATION, LOW_UTILISATION = 0.7, 0.6
# A request may wait for this many seconds, or for this many times its own duration if that is longer.
WAIT_BUDGET_SECONDS, WAIT_BUDGET_TIMES = 0.25, 2.0
# A wait of fewer seconds is ignored.
WAITS_SECONDS = 0.1
# While requests are answered within this many seconds, the batches of one replica absorb the load.
ABSORBED_SECONDS = 0.02
# Replicas beside those that are stuck: one that serves, and one for when that one is stuck or restarted too.
STAND_INS = 2
# Gateways use a new replica within this many seconds. A wait that was reported before that was for the start.
SETTLE_SECONDS = 0.2
# A step down is at most to half, and at least to this share: a smaller step is not worth it. The next step comes this
# many seconds later, once the effect of the first can be measured.
SMALLEST_STEP, STEP_SECONDS = 2 / 3, PANIC_SECONDS
# The longest time for which a number that was needed is kept. It doubles, up to this, each time a revision grows again
# soon after it shrank; it is never longer than the owner's idle time.
LONGEST_DELAY_SECONDS = 600.0
# The duration of requests is averaged over at least this many seconds.
_SHORTEST_SECONDS = 0.2
# Replicas that use this share of all cores are bound by the cores, whatever each one seems to use.
CORES_ARE_BUSY = 0.6


@dataclass(frozen=True, slots=True)
class ObservedLoad:
    """The observed state of a revision. `held` is its target's number of replicas, and `ready` how many can predict.

    `known_since` is since when all gateways have reported without a gap; None while one is missing. `batched`: a
    replica takes many requests at once. `rolling_out`: an update of the endpoint is under way.
    """

    load: LoadPoint
    held: int
    ready: int
    known_since: float | None
    batched: bool = False
    rolling_out: bool = False


@dataclass(frozen=True, slots=True)
class ScalingState:
    """The state of a revision between two decisions. Times are monotonic seconds."""

    replicas: int
    since: float
    window: LoadWindow = field(default_factory=lambda: LoadWindow(STABLE_SECONDS))
    active_at: float = -math.inf  # when there was a request last
    changed_at: float = -math.inf
    ready_at: float = math.inf  # since when all replicas are ready; infinite while they are not
    down_at: float = -math.inf
    delay: float = STABLE_SECONDS  # how long a number that was needed is kept
    panic_at: float = -math.inf
    needs: tuple[tuple[float, int], ...] = ()  # the largest numbers within the delay, falling: time, number
    service_seconds: float | None = None
    share: CpuShare = field(default_factory=CpuShare)


@dataclass(frozen=True, slots=True)
class ScaleDecision:
    """How many replicas there should be, with a reason where the number has changed."""

    replicas: int
    reason: str = ""


def decide(
    policy: ScalingPolicy, state: ScalingState, observed: ObservedLoad, cores: int, now: float
) -> tuple[ScaleDecision, ScalingState]:
    """How many replicas the revision should have, and the state for the next decision.

    The number is within the policy's bounds. It grows without a delay. It falls by half at most, never below the
    largest number that was needed lately, and to zero after the policy's idle time. It does not fall while a gateway is
    missing.
    """
    state = _seen(state, observed, now)
    limit = _limit(policy, state, cores)
    wants = list(_wants(policy, state, observed, limit))
    state = _remembered(state, observed, limit, now)
    most = max(wants, key=lambda want: want.replicas)
    decision = most if most.replicas > state.replicas else _fewer(policy, state, observed, max(1, most.replicas), now)
    if decision.replicas == state.replicas:
        return ScaleDecision(state.replicas), state
    if decision.replicas == policy.max_replicas > state.replicas:
        decision = replace(decision, reason=f"{decision.reason}; that is the most that it may have")
    return decision, _changed(policy, state, decision.replicas, now)


def _changed(policy: ScalingPolicy, state: ScalingState, replicas: int, now: float) -> ScalingState:
    """The state with another number of replicas. A step up soon after a step down doubles the delay."""
    if replicas < state.replicas:
        return replace(state, replicas=replicas, changed_at=now, down_at=now)
    longest = max(STABLE_SECONDS, min(LONGEST_DELAY_SECONDS, policy.idle_timeout_seconds))
    lately = state.replicas > 0 and state.changed_at == state.down_at > now - 2 * state.delay
    calm = now - state.down_at > LONGEST_DELAY_SECONDS
    delay = min(2 * state.delay, longest) if lately else STABLE_SECONDS if calm else state.delay
    return replace(state, replicas=replicas, changed_at=now, delay=delay)


# --- observation


def _seen(state: ScalingState, observed: ObservedLoad, now: float) -> ScalingState:
    """The state with a new observation."""
    load, window = observed.load, state.window
    came = bool(window.points) and load.requests > window.newest.requests
    window = window.plus(load)
    recent = window.over(PANIC_SECONDS, _SHORTEST_SECONDS)
    service = recent.service_seconds if recent else None
    all_ready = observed.ready >= max(1, state.replicas)
    return replace(
        state,
        window=window,
        ready_at=min(state.ready_at, now) if all_ready else math.inf,
        active_at=now if came or load.at_once or _woken(state, observed) else state.active_at,
        service_seconds=state.service_seconds if service is None else service,
        share=state.share.plus(load.at, load.cpu_seconds, load.busy_seconds),
    )


def _woken(state: ScalingState, observed: ObservedLoad) -> bool:
    """Whether a gateway has woken the revision."""
    return observed.held > state.replicas == 0


def _limit(policy: ScalingPolicy, state: ScalingState, cores: int) -> int:
    """The most replicas that are of use: as many as keep all cores busy. While that is unknown, one for each core."""
    share, recent = state.share.value, state.window.over(PANIC_SECONDS)
    useful = cores if share is None else int(cores / max(share, 0.01))
    if recent is not None and recent.cores >= CORES_ARE_BUSY * cores:
        useful = min(useful, max(cores, state.replicas))
    return max(1, policy.min_replicas, min(policy.max_replicas, useful))


# --- reasons for replicas


def _wants(policy: ScalingPolicy, state: ScalingState, observed: ObservedLoad, limit: int) -> Iterator[ScaleDecision]:
    """All reasons to have replicas, each with a number."""
    yield ScaleDecision(policy.min_replicas, "the fewest that it may have")
    load, stable, panic = observed.load, state.window.over(STABLE_SECONDS), state.window.over(PANIC_SECONDS)
    if load.at_once or _woken(state, observed):
        yield ScaleDecision(1, "a request came")
    if load.queued and load.oldest_wait_seconds >= WAITS_SECONDS:
        yield ScaleDecision(min(limit, _needed_now(state, observed, panic)), _waiting(load))
    if load.stuck > 1 or (load.stuck and load.queued):
        yield ScaleDecision(min(policy.max_replicas, load.stuck + STAND_INS), _stuck(load))
    if not state.replicas or _idle(policy, state, observed, load.at) or _absorbed(observed, panic):
        return  # past load keeps no replica that nothing needs
    if stable is not None:
        yield ScaleDecision(min(limit, _needed(stable, state, observed)), _at_once(stable))
    if panic is not None:
        needed = _needed(panic, state, observed)
        if needed >= PANIC_FACTOR * max(1, observed.ready) or _panics(state, load.at):
            yield ScaleDecision(min(limit, needed), _at_once(panic))


def _absorbed(observed: ObservedLoad, recent: Stretch | None) -> bool:
    """Whether the batches of one replica absorb the load: more replicas would only make them smaller."""
    stay = recent.stay_seconds if recent else 0.0
    return observed.batched and min(observed.load.oldest_wait_seconds, stay) < ABSORBED_SECONDS


def _needed(
    stretch: Stretch, state: ScalingState, observed: ObservedLoad, utilisation: float = TARGET_UTILISATION
) -> int:
    return math.ceil(_demand(stretch, state, observed) / (utilisation if state.service_seconds else 1.0))


def _demand(stretch: Stretch, state: ScalingState, observed: ObservedLoad) -> float:
    """The work in replicas over a stretch of time: requests that arrived, and those that wait."""
    service = state.service_seconds
    if service is None:
        return min(stretch.at_once, 1.0) if observed.batched else stretch.at_once
    work = max(stretch.busy, stretch.rate * service)
    if not _starting(state, observed):
        work += max(0.0, min(stretch.at_once - stretch.busy, observed.load.queued)) * _urgency(service)
    return min(stretch.at_once, work)


def _starting(state: ScalingState, observed: ObservedLoad) -> bool:
    """Whether replicas are starting, and requests may wait only for them."""
    return min(observed.load.at, observed.load.reported_at) < state.ready_at + SETTLE_SECONDS


def _urgency(service: float) -> float:
    """The part of a replica that a waiting request needs to begin within its wait budget."""
    return min(1.0, service / WAIT_BUDGET_SECONDS)


def _needed_now(state: ScalingState, observed: ObservedLoad, recent: Stretch | None) -> int:
    """Enough replicas for the arriving requests and, unless replicas are starting, for the waiting ones in time."""
    load, service, starting = observed.load, state.service_seconds, _starting(state, observed)
    if service is None:
        needed = 1 if observed.batched else load.at_once
    else:
        coming = _demand(recent, state, observed) / TARGET_UTILISATION if recent else 0.0
        waiting = 0.0 if starting else load.queued * _urgency(service)
        needed = math.ceil(min(load.at_once, coming + waiting))
    budget = max(WAIT_BUDGET_SECONDS, WAIT_BUDGET_TIMES * (service or 0.0))
    if load.oldest_wait_seconds > budget and not starting:
        return max(needed, state.replicas + 1)
    ahead = load.queued * (service or 0.0) / max(1, observed.ready)
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


# --- fewer replicas


def _idle(policy: ScalingPolicy, state: ScalingState, observed: ObservedLoad, now: float) -> bool:
    """Whether it may have no replica, and has had no request for its owner's idle time."""
    if policy.min_replicas or observed.load.at_once or observed.known_since is None:
        return False
    return now - max(observed.known_since, state.since, state.active_at) >= policy.idle_timeout_seconds


def _remembered(state: ScalingState, observed: ObservedLoad, limit: int, now: float) -> ScalingState:
    """The state with the number that is needed now, which is kept for the delay."""
    recent, needed = state.window.over(PANIC_SECONDS), 0
    if recent is not None:
        needed = _needed(recent, state, observed, LOW_UTILISATION)
        panics = _needed(recent, state, observed) >= PANIC_FACTOR * max(1, observed.ready)
        if panics and not _absorbed(observed, recent):
            state = replace(state, panic_at=now)
    if observed.load.queued:
        needed = max(needed, _needed_now(state, observed, recent))
    needed = min(limit, needed)
    if observed.load.stuck:
        needed = max(needed, observed.load.stuck + STAND_INS)  # stuck replicas serve no one
    kept = [(at, need) for at, need in state.needs if at > now - state.delay and need > needed]
    return replace(state, needs=(*kept, (now, needed)))


def _fewer(policy: ScalingPolicy, state: ScalingState, observed: ObservedLoad, least: int, now: float) -> ScaleDecision:
    """Fewer replicas, where the load is known and no reason is against it."""
    count = state.replicas
    if observed.known_since is None or observed.rolling_out or count <= policy.min_replicas:
        return ScaleDecision(count)
    if _idle(policy, state, observed, now):
        due = count == 1 or now >= state.changed_at + min(STEP_SECONDS, policy.idle_timeout_seconds)
        return ScaleDecision(count // 2 if due else count, f"no request for {policy.idle_timeout_seconds:g} s")
    seen = now - max(observed.known_since, state.since)
    if count == 1 or seen < STABLE_SECONDS or _panics(state, now) or now < state.changed_at + STEP_SECONDS:
        return ScaleDecision(count)
    busy = 0 if observed.batched else observed.load.in_flight
    fewer = max(least, state.needs[0][1], math.ceil(count / 2), busy)
    worth_it = fewer <= count * SMALLEST_STEP
    return ScaleDecision(fewer if worth_it else count, f"no more was needed for {state.delay:g} s")
