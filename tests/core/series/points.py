"""Points of all kinds, for the tests of series."""

from random import Random

from hypothesis import strategies as st

from tidegate.core.series.latency_histogram import BUCKETS
from tidegate.core.series.series_point import STEPS, SeriesPoint

COUNTS = (
    "accepted", "answered", "rejected", "timed_out", "client_gone", "lost", "stepped", "request_bytes",
    "response_bytes", "cold_starts", "cold_requests", "in_flight", "queued",
)  # fmt: skip
FRACTIONS = ("latency_seconds", "batches", "cpu_seconds", "ready", "wanted", "gpu", "oldest_wait_seconds")
KEYS = ("", "wine-1", "wine · version 2", 'ü"\n')
PHASES = ("forked load", "forked total", "spawned load")


def drawn_point(draw: Random) -> SeriesPoint:
    """A point in which any value may be zero, small or large."""

    def count() -> int:
        return draw.choice((0, draw.randrange(300), draw.randrange(2**40)))

    def fraction() -> float:
        return draw.choice((0.0, draw.random(), draw.uniform(0.0, 1e9)))

    values: dict[str, float] = {name: count() for name in COUNTS} | {name: fraction() for name in FRACTIONS}
    values |= {name: float(count()) for name in ("memory_bytes", "gpu_memory_bytes")}
    return SeriesPoint(
        float(draw.randrange(4_000_000_000)),
        draw.choice((1.0, 60.0, 12.5, 900.0)),
        draw.random() < 0.5,
        statuses={status: count() for status in draw.sample((200, 400, 429, 500, 504), draw.randrange(4))},
        latency={bucket: count() for bucket in draw.sample(range(BUCKETS), draw.randrange(7))},
        steps=draw.choice(((0.0,) * len(STEPS), tuple(fraction() for _ in STEPS))),
        cold={phase: (count(), fraction()) for phase in draw.sample(PHASES, draw.randrange(3))},
        **values,  # type: ignore[arg-type]
    )


def drawn_rows(seed: int) -> list[tuple[str, SeriesPoint]]:
    """Up to eight rows of points with their keys."""
    draw = Random(seed)
    return [(draw.choice(KEYS), drawn_point(draw)) for _ in range(draw.randrange(9))]


ROWS = st.integers(min_value=0, max_value=2**32).map(drawn_rows)
