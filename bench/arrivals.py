"""When requests are due: steps of constant rates, evenly spaced or at random (Poisson)."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """So many requests a second for so long."""

    rate: float
    seconds: float

    @classmethod
    def parse(cls, text: str) -> "Step":
        """`RATE:SECONDS`. Raises ValueError."""
        rate, _, seconds = text.partition(":")
        return cls(float(rate), float(seconds))


def arrivals(steps: Sequence[Step], *, poisson: bool = False, seed: int = 0) -> Iterator[float]:
    """The times at which requests are due, in seconds from the start; ascending.

    Poisson: the gaps are exponentially distributed with the mean 1 / rate; the same seed gives the same times.
    """
    draw = random.Random(seed)
    begin = 0.0
    for step in steps:
        at = begin
        while step.rate and at < begin + step.seconds:
            yield at
            at += draw.expovariate(step.rate) if poisson else 1 / step.rate
        begin += step.seconds
