"""A store of series in memory, for tests of what stands above it."""

from collections.abc import Mapping, Sequence

from tidegate.core.errors import TidegateError
from tidegate.ports import PackedHour, SeriesStore


class FakeSeriesStore:
    """Keeps everything in dictionaries. While `failure` is set, every method raises it."""

    def __init__(self) -> None:
        self.failure: TidegateError | None = None
        self._tail: dict[tuple[int, int], bytes] = {}  # by shard and minute
        self._totals: dict[int, bytes] = {}
        self._hours: dict[tuple[str, int], tuple[bytes, bytes | None]] = {}  # quarters and minutes

    async def append(self, minute: int, shards: Mapping[int, bytes], totals: Mapping[int, bytes]) -> None:
        self._work()
        for shard, chain in shards.items():
            self._tail[shard, minute] = self._tail.get((shard, minute), b"") + chain
        self._totals |= totals

    async def tail(self, shard: int, first: int, last: int) -> Sequence[bytes]:
        self._work()
        found = sorted(key for key in self._tail if key[0] == shard and first <= key[1] <= last)
        return [self._tail[key] for key in found]

    async def oldest(self) -> Mapping[int, int]:
        self._work()
        shards = {shard for shard, _ in self._tail}
        return {shard: min(minute for own, minute in self._tail if own == shard) for shard in shards}

    async def totals(self) -> Mapping[int, bytes]:
        self._work()
        return dict(self._totals)

    async def fold(self, shard: int, hour: int, hours: Sequence[PackedHour]) -> None:
        self._work()
        for packed in hours:
            quarters, minutes = self._hours.get((packed.endpoint, hour), (b"", None))
            self._hours[packed.endpoint, hour] = quarters + packed.quarters, (minutes or b"") + packed.minutes
        self._tail = {key: chain for key, chain in self._tail.items() if key[0] != shard or key[1] // 60 != hour}

    async def minutes(self, endpoint: str, first: int, last: int) -> Sequence[bytes]:
        self._work()
        return [minutes for _, minutes in self._found(endpoint, first, last) if minutes is not None]

    async def quarters(self, endpoint: str, first: int, last: int) -> Sequence[bytes]:
        self._work()
        return [quarters for quarters, _ in self._found(endpoint, first, last)]

    async def size(self) -> int:
        self._work()
        hours = sum(len(quarters) + len(minutes or b"") for quarters, minutes in self._hours.values())
        return hours + sum(map(len, self._tail.values())) + sum(map(len, self._totals.values()))

    async def trim(self, max_bytes: int, oldest_hour: int) -> bool:
        self._work()
        old = [key for key in self._hours if key[1] < oldest_hour]
        late = [key for key in self._tail if key[1] < oldest_hour * 60]
        for key in old:
            del self._hours[key]
        for place in late:
            del self._tail[place]
        if old or late or await self.size() <= max_bytes:
            return bool(old or late)
        whole = sorted((hour, endpoint) for (endpoint, hour), (_, minutes) in self._hours.items() if minutes)
        for hour, endpoint in whole[:1]:
            self._hours[endpoint, hour] = self._hours[endpoint, hour][0], None
        return bool(whole)

    async def close(self) -> None:
        """Nothing is open."""

    def _found(self, endpoint: str, first: int, last: int) -> Sequence[tuple[bytes, bytes | None]]:
        return [self._hours[key] for key in sorted(self._hours) if key[0] == endpoint and first <= key[1] <= last]

    def _work(self) -> None:
        if self.failure is not None:
            raise self.failure


_: type[SeriesStore] = FakeSeriesStore
