"""The order in which tables were published."""

# How many published tables are told from older ones. A gateway that is further behind follows none of them.
_REMEMBERED = 1000


class Publications:
    """Numbers the versions of a table. `newest` is the number of the newest one; 0 before the first."""

    def __init__(self) -> None:
        self.newest = 0
        self._numbers: dict[str, int] = {}  # version → `newest` when it was published, oldest first

    def add(self, version: str) -> None:
        """Note that this version is published now; an earlier one may come again."""
        self.newest += 1
        self._numbers.pop(version, None)
        self._numbers[version] = self.newest
        if len(self._numbers) > _REMEMBERED:
            del self._numbers[next(iter(self._numbers))]

    def is_at_least(self, version: str, number: int) -> bool:
        """Whether this version was published as the one of this number, or after it."""
        return self._numbers.get(version, 0) >= number
