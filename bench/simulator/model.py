"""One revision in a queueing model: requests come by a trace, replicas pull them from one queue, the autoscaler looks.

Nothing is random but the arrivals, and those are the same at every run.
"""

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.core.endpoint.served_entity import ScalingPolicy
from tidegate.core.scaling.load_window import LoadPoint
from tidegate.core.scaling.scaling import ObservedLoad, ScalingState, decide

# The model's step, and how often control looks when nothing waits; seconds.
STEP, LOOK = 0.02, 1.0
# As gateways do: an alarm when a request has waited so long, and again at so many times as long.
ALARM, ALARM_AGAIN = 0.1, 2.5

TO_ZERO = ScalingPolicy(0, 16, 30.0)


@dataclass(frozen=True, slots=True)
class Trace:
    """A load and what meets it. `rate` is requests/s at a time; `clients` how many send their next request only when
    the last is answered. `most_events` is how many changes of the number of replicas it may cause.
    """

    name: str
    title: str
    seconds: float
    most_events: int
    rate: Callable[[float], float] = lambda _: 0.0
    clients: Callable[[float], int] = lambda _: 0
    service_seconds: float = 0.1
    start_seconds: float = 0.1
    policy: ScalingPolicy = TO_ZERO
    cores: int = 2
    cpu_share: float = 0.05
    replicas: int = 1  # at the beginning
    poisson: bool = True
    blind_at: float = math.inf  # control is restarted then


@dataclass(frozen=True, slots=True)
class Change:
    """The autoscaler's decision, when it was another than before."""

    at: float
    before: int
    after: int
    reason: str


@dataclass(slots=True)
class Outcome:
    """What came of a trace. `rows` are time, demand in replicas, replicas held, replicas ready, requests waiting."""

    trace: Trace
    changes: list[Change] = field(default_factory=list)
    rows: list[tuple[float, float, int, int, int]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def p99_wait(self) -> float:
        """The 99th percentile of what requests waited, seconds."""
        return sorted(self.waits)[int(0.99 * (len(self.waits) - 1))] if self.waits else 0.0

    @property
    def replica_seconds(self) -> float:
        """What was held, over all."""
        return sum(row[2] for row in self.rows) * LOOK


def run(trace: Trace) -> Outcome:
    """Play a trace to its end."""
    return _Run(trace).play()


@dataclass(slots=True)
class _Replica:
    ready_at: float
    free_at: float = 0.0


class _Run:
    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._random = random.Random(trace.name)
        self._now = 0.0
        self._replicas = [_Replica(0.0) for _ in range(trace.replicas)]
        self._queue: deque[float] = deque()
        self._owed = 0.0  # parts of requests that have not come yet
        self._requests, self._request_seconds, self._busy_seconds = 0, 0.0, 0.0
        self._state = ScalingState(trace.replicas, 0.0)
        self._known_since = 0.0
        self._blind_at = trace.blind_at
        self._looked_at, self._alarm_at = -LOOK, ALARM
        self._outcome = Outcome(trace)

    def play(self) -> Outcome:
        while self._now < self._trace.seconds:
            self._arrive()
            self._serve()
            self._account()
            if self._now >= self._looked_at + LOOK or self._alarming():
                self._look()
            if abs(self._now % LOOK) < STEP / 2:
                self._note()
            self._now = round(self._now + STEP, 6)
        return self._outcome

    # --- requests

    def _arrive(self) -> None:
        self._owed += self._trace.rate(self._now) * STEP
        while self._owed > 0:
            self._owed -= self._random.expovariate(1.0) if self._trace.poisson else 1.0
            self._come()
        for _ in range(self._trace.clients(self._now) - len(self._queue) - self._busy):
            self._come()

    def _come(self) -> None:
        self._queue.append(self._now)
        self._requests += 1
        if not self._replicas:  # the gateway wakes the agent, without control
            self._replicas.append(_Replica(self._now + self._trace.start_seconds))

    def _serve(self) -> None:
        for replica in self._replicas:
            while self._queue and replica.ready_at <= self._now and replica.free_at <= self._now:
                begun = max(self._now - STEP, replica.free_at)
                self._outcome.waits.append(self._now - self._queue.popleft())
                replica.free_at = begun + self._trace.service_seconds

    def _account(self) -> None:
        self._request_seconds += STEP * (len(self._queue) + self._busy)
        self._busy_seconds += STEP * self._busy

    @property
    def _busy(self) -> int:
        return sum(replica.free_at > self._now for replica in self._replicas)

    @property
    def _oldest(self) -> float:
        return self._now - self._queue[0] if self._queue else 0.0

    # --- control

    def _alarming(self) -> bool:
        if self._oldest < ALARM:
            self._alarm_at = ALARM
        if self._oldest < self._alarm_at:
            return False
        self._alarm_at = self._oldest * ALARM_AGAIN
        return True

    def _look(self) -> None:
        trace, self._looked_at = self._trace, self._now
        if self._now >= self._blind_at:
            self._state, self._known_since = ScalingState(len(self._replicas), self._now), self._now
            self._blind_at = math.inf
        before = self._state.replicas
        decision, self._state = decide(trace.policy, self._state, self._sight(), trace.cores, self._now)
        if decision.replicas != before:
            self._outcome.changes.append(Change(self._now, before, decision.replicas, decision.reason))
        self._hold(decision.replicas)

    def _sight(self) -> ObservedLoad:
        busy = self._busy
        load = LoadPoint(
            self._now,
            self._requests,
            self._request_seconds,
            self._busy_seconds,
            0.1 + self._busy_seconds * self._trace.cpu_share,
            busy,
            len(self._queue),
            self._oldest,
        )
        ready = sum(replica.ready_at <= self._now for replica in self._replicas)
        return ObservedLoad(load, len(self._replicas), ready, self._known_since)

    def _hold(self, count: int) -> None:
        while len(self._replicas) < count:
            self._replicas.append(_Replica(self._now + self._trace.start_seconds))
        self._replicas.sort(key=lambda replica: (replica.ready_at > self._now, -replica.free_at))
        del self._replicas[count:]  # those that are done first; the autoscaler must not take busy ones

    def _note(self) -> None:
        trace = self._trace
        demand = trace.rate(self._now) * trace.service_seconds + trace.clients(self._now)
        ready = sum(replica.ready_at <= self._now for replica in self._replicas)
        self._outcome.rows.append((self._now, demand, len(self._replicas), ready, len(self._queue)))
