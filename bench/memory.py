"""How much memory processes take over time, and whether it grows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psutil

_KIB = 1024


@dataclass
class Growth:
    """One process's samples: `minutes` since the beginning, and KiB of proportional set size at that moment."""

    title: str
    minutes: list[float] = field(default_factory=list)
    kib: list[float] = field(default_factory=list)

    def after(self, minute: float) -> "Growth":
        """The samples from then on."""
        kept = [(at, size) for at, size in zip(self.minutes, self.kib, strict=True) if at >= minute]
        return Growth(self.title, [at for at, _ in kept], [size for _, size in kept])

    @property
    def slope(self) -> float:
        """KiB a minute."""
        return slope(self.minutes, self.kib)

    @property
    def total(self) -> float:
        """KiB from the first sample to the last."""
        return self.kib[-1] - self.kib[0]


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the straight line through the points with the least sum of squares; 0 where there is none.

    https://en.wikipedia.org/wiki/Simple_linear_regression
    """
    if len(x) < 2:
        return 0.0
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((at - middle_x) ** 2 for at in x)
    return sum((at - middle_x) * (value - middle_y) for at, value in zip(x, y, strict=True)) / spread if spread else 0.0


class Watch:
    """Samples the same processes again and again. `growths` has those that there are, by process id."""

    def __init__(self, titles: Mapping[int, str]) -> None:
        self.growths = {pid: Growth(title) for pid, title in titles.items()}

    def sample(self, minute: float) -> None:
        """Read them all now. Raises psutil.NoSuchProcess when one has ended: none of them may."""
        for pid, growth in self.growths.items():
            growth.minutes.append(minute)
            growth.kib.append(psutil.Process(pid).memory_full_info().pss / _KIB)
