"""What a prediction costs, learnt from those that were made: a·n + b seconds for n items."""

from typing import List, Sequence, Tuple

_FORGETTING = 0.98  # what a measurement weighs after the next


class BatchCost:
    """A line through the recent measurements; before there is any, the guess that it starts with."""

    def __init__(self, per_item: float, fixed: float) -> None:
        self._guess = per_item, fixed
        self._weight = self._items = self._seconds = self._items_squared = self._products = 0.0

    def learn(self, items: int, seconds: float) -> None:
        """Take a measurement in."""
        keep = _FORGETTING
        self._weight = self._weight * keep + 1
        self._items = self._items * keep + items
        self._seconds = self._seconds * keep + seconds
        self._items_squared = self._items_squared * keep + items * items
        self._products = self._products * keep + items * seconds

    def points(self, at: Sequence[int]) -> List[Tuple[int, float]]:
        """The line at these numbers of items; nothing before there is one."""
        return [(items, self.predicted(items)) for items in at] if self._items else []

    def predicted(self, items: int) -> float:
        """Seconds that so many items take, rather too many than too few where little was measured."""
        if not self._items:  # nothing was measured, or only what was empty
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
        """Seconds that the recent ones took."""
        return self._seconds / self._weight if self._weight else self._guess[1]
