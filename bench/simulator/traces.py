"""The loads: shapes that every autoscaler meets, and published failures of others.

A trace's `most_events` is a promise that the tests keep; `docs/scaling.md` shows what came of each.
"""

import math

from bench.simulator.model import Trace
from tidegate.core.endpoint.served_entity import ScalingPolicy


def step(times_and_values: tuple[tuple[float, float], ...], now: float) -> float:
    """The value of the last time that has passed."""
    return [value for at, value in times_and_values if at <= now][-1]


def _during(begin: float, end: float, value: float, now: float) -> float:
    return value if begin <= now < end else 0.0


def _sawtooth(period: float, highest: float, now: float) -> float:
    return highest * (now % period) / period


def _diurnal(period: float, highest: float, now: float) -> float:
    return highest * (1 - math.cos(2 * math.pi * now / period)) / 2


def _flapping(on: float, off: float, value: float, now: float) -> float:
    return value if now % (on + off) < on else 0.0


NEVER_ZERO = ScalingPolicy(1, 16, 1800.0)

TRACES = (
    # The shapes.
    Trace(
        "step",
        "Step: from 1 to 8 clients at once, and back",
        240,
        5,
        clients=lambda now: int(step(((0, 1), (30, 8), (120, 1)), now)),
        service_seconds=0.2,
        policy=ScalingPolicy(1, 8, 1800.0),
    ),
    Trace(
        "spike",
        "Spike: 400 requests within a second, out of nothing",
        240,
        8,
        rate=lambda now: _during(20, 21, 400, now),
        service_seconds=0.05,
        replicas=0,
    ),
    Trace(
        "sawtooth",
        "Sawtooth: up to 60 requests/s every two minutes",
        480,
        8,
        rate=lambda now: _sawtooth(120, 60, now),
        policy=NEVER_ZERO,
    ),
    Trace(
        "diurnal",
        "Days of 20 minutes: up to 80 requests/s, and nothing at night",
        2400,
        30,
        rate=lambda now: max(0.0, _diurnal(1200, 90, now) - 10),
        replicas=0,
    ),
    Trace(
        "flapping",
        "Flapping: 10 s of 30 requests/s, 10 s of nothing",
        600,
        4,
        rate=lambda now: _flapping(10, 10, 30, now),
        policy=NEVER_ZERO,
    ),
    Trace(
        "flapping-slow",
        "Flapping slowly: 2 minutes of 30 requests/s, 3 of nothing",
        1500,
        35,
        rate=lambda now: _flapping(120, 180, 30, now),
    ),
    Trace("constant", "Constant: 20 requests/s", 1200, 3, rate=lambda _: 20.0, policy=NEVER_ZERO),
    Trace(
        "cores",
        "Step of a model that computes: never more than the two cores",
        240,
        2,
        rate=lambda now: step(((0, 2), (30, 15), (120, 2)), now),
        policy=NEVER_ZERO,
        cpu_share=1.0,
    ),
    # Ray Serve's published failures.
    Trace(
        "ray-18925",
        "Ray #18925: requests of 3 s that wait must not pass for little load",
        400,
        8,
        rate=lambda now: _during(10, 14, 30, now),
        service_seconds=3.0,
        start_seconds=5.0,
        policy=NEVER_ZERO,
    ),
    Trace(
        "ray-26455",
        "Ray #26455: a steady load with bursts must not oscillate",
        600,
        10,
        rate=lambda now: 10 + _flapping(2, 13, 40, now),
        policy=NEVER_ZERO,
    ),
    Trace(
        "ray-61731",
        "Ray PR 61731: one request to nothing must not run away",
        120,
        2,
        rate=lambda now: _during(10, 10.02, 50, now),
        start_seconds=5.0,
        replicas=0,
        poisson=False,
    ),
    Trace(
        "ray-39881",
        "Ray PR 39881: a newborn replica's zero must not scale it away",
        300,
        4,
        rate=lambda now: step(((0, 0), (10, 40)), now),
        service_seconds=0.2,
        start_seconds=5.0,
        replicas=0,
    ),
    # Knative.
    Trace(
        "knative-steps",
        "Knative's steps: 20, 60, 100, 20 requests/s of 100 ms",
        600,
        12,
        rate=lambda now: step(((0, 20), (120, 60), (240, 100), (360, 20)), now),
        policy=NEVER_ZERO,
    ),
    Trace(
        "restart",
        "Control is restarted under load: nothing goes",
        300,
        10,
        rate=lambda now: step(((0, 50), (200, 0)), now),
        blind_at=100.0,
    ),
)
