"""The cost of a prediction by its number of items, n: a·n + b seconds, fitted to the predictions so far."""

from typing import List, Sequence, Tuple

_DECAY = 0.98  # the weight of a measurement after the next one, relative to before


class BatchCost:
    """A line fitted to the recent measurements by least squares. Before the first one it is a guess, in seconds."""

    def __init__(self, per_item: float, fixed: float) -> None:
        self._guess = per_item, fixed
        self._weight = self._items = self._seconds = self._items_squared = self._products = 0.0

    def learn(self, items: int, seconds: float) -> None:
        """Add a measurement."""
        keep = _DECAY
        self._weight = self._weight * keep + 1
        self._items = self._items * keep + items
        self._seconds = self._seconds * keep + seconds
        self._items_squared = self._items_squared * keep + items * items
        self._products = self._products * keep + items * seconds

    def points(self, at: Sequence[int]) -> List[Tuple[int, float]]:
        """The cost in seconds at these numbers of items; empty before the first measurement."""
        return [(items, self.predicted(items)) for items in at] if self._items else []

    def predicted(self, items: int) -> float:
        """The seconds that this many items take. With few measurements it is rather too high than too low."""
        if not self._items:  # no measurement, or only of empty batches
            per_item, fixed = self._guess
            return per_item * items + fixed
        mean_items, mean = self._items / self._weight, self.mean
        spread = self._items_squared / self._weight - mean_items**2
        if spread < 0.01 * mean_items**2:
            return mean * max(1.0, items / mean_items)
        slope = max(0.0, (self._products / self._weight - mean_items * mean) / spread)
        return max(mean * 0.1, mean + slope * (items - mean_items))

    @property
    def mean(self) -> float:
        """The mean of the recent measurements, in seconds."""
        return self._seconds / self._weight if self._weight else self._guess[1]
