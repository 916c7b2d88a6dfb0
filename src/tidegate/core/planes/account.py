"""The account of requests that a gateway keeps for each served entity of an endpoint, in counts that only grow.

An endpoint has one account by the name WHOLE: it counts all accepted requests, and those that ended before a version
was picked. Each served entity has one for the requests that ended with it. The endpoint's own figures are the sum:

    accepted = answered + rejected + timed_out + client_gone + lost + in flight, exactly.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import NamedTuple, TypeVar

from tidegate.core.planes import latency_cells
from tidegate.core.series.series_point import STEPS, WHOLE, SeriesPoint

PAST = "*"
"""The sum of the served entities whose accounts were closed, as no route names them any more. It has no series."""

K = TypeVar("K", str, int)
_NO_COUNTS: Mapping[int, int] = {}
_NO_COLD: Mapping[str, tuple[int, float]] = {}


class Account(NamedTuple):
    """What was counted since the gateway's ledger began. A restart of the gateway does not reset it.

    `answered` counts all answers of a model, its errors included. `rejected` counts refusals by the platform (a full
    queue, nothing that serves). `cold_starts` counts starts of a replica that requests waited for because there was
    none, and `cold_requests` counts these requests. `steps` are sums over `stepped` answers, seconds, in the order of
    STEPS; `batches` is the number of predictions that made these answers. `cold` has the number and the seconds of cold
    starts by `mode phase`, see COLD_PHASES. Seconds are floating-point sums; all else is exact.
    """

    accepted: int = 0
    answered: int = 0
    rejected: int = 0
    timed_out: int = 0
    client_gone: int = 0
    lost: int = 0
    statuses: Mapping[int, int] = _NO_COUNTS  # HTTP status → answers
    cells: Mapping[int, int] = _NO_COUNTS  # latencies, by cell of `latency_cells`
    coarse: tuple[int, ...] = ()  # latencies of which only the bucket of LATENCY_BUCKETS is known
    latency_sum: float = 0.0  # seconds
    request_bytes: int = 0
    response_bytes: int = 0
    cold_starts: int = 0
    cold_requests: int = 0
    stepped: int = 0
    steps: tuple[float, ...] = (0.0,) * len(STEPS)
    batches: float = 0.0
    cold: Mapping[str, tuple[int, float]] = _NO_COLD

    @property
    def ended(self) -> int:
        """The requests that are not under way any more."""
        return self.answered + self.rejected + self.timed_out + self.client_gone + self.lost

    @property
    def in_flight(self) -> int:
        """The requests accepted and not ended. Only the sum of all accounts of an endpoint has it."""
        return self.accepted - self.ended

    @property
    def latency_counts(self) -> tuple[int, ...]:
        """The latencies per bucket of LATENCY_BUCKETS, not cumulative over buckets."""
        return latency_cells.coarse(self.cells, self.coarse)

    def plus(self, other: "Account") -> "Account":
        """The sum of two accounts."""
        return Account(
            accepted=self.accepted + other.accepted,
            answered=self.answered + other.answered,
            rejected=self.rejected + other.rejected,
            timed_out=self.timed_out + other.timed_out,
            client_gone=self.client_gone + other.client_gone,
            lost=self.lost + other.lost,
            statuses=add_counts(self.statuses, other.statuses),
            cells=add_counts(self.cells, other.cells),
            coarse=_add_coarse(self.coarse, other.coarse),
            latency_sum=self.latency_sum + other.latency_sum,
            request_bytes=self.request_bytes + other.request_bytes,
            response_bytes=self.response_bytes + other.response_bytes,
            cold_starts=self.cold_starts + other.cold_starts,
            cold_requests=self.cold_requests + other.cold_requests,
            stepped=self.stepped + other.stepped,
            steps=tuple(a + b for a, b in zip(self.steps, other.steps, strict=True)),
            batches=self.batches + other.batches,
            cold=_add_cold(self.cold, other.cold),
        )

    def onto(self, before: "Account") -> "Account":
        """This account, of which only the cells that were touched are known, completed from the one before it."""
        return Account._make((*self[:_CELLS], {**before.cells, **self.cells}, *self[_CELLS + 1 :]))


def completed(
    news: Mapping[str, Account], before: Mapping[str, Account], accepted: int | None
) -> Mapping[str, Account]:
    """The accounts of an endpoint, by those that were touched since `before`, and by its accepted requests now.

    None says that no request was accepted since.
    """
    whole = dict(before)
    for entity, account in news.items():
        known = whole.get(entity)
        whole[entity] = account if known is None else account.onto(known)
    if WHOLE not in news and accepted is not None:
        whole[WHOLE] = Account._make((accepted, *whole.get(WHOLE, _NOTHING)[1:]))
    return whole


def total(accounts: Iterable[Account]) -> Account:
    """The sum of accounts: that of an endpoint, of all its own."""
    return reduce(Account.plus, accounts, _NOTHING)


def in_flight(accounts: Iterable[Account]) -> int:
    """The requests under way of an endpoint, by all its accounts."""
    return sum(account.accepted - account.ended for account in accounts)


def grown(now: Account, before: Account | None, at: float, seconds: float) -> SeriesPoint:
    """What an account has gained since `before`, as the point that begins at `at`, unix seconds, `seconds` wide.

    `before` is None where nothing was known. `now` may be a part of a report that is not whole: the cells that it lacks
    have not changed. `before` is always whole. A count that fell counts as unchanged.
    """
    before = _NOTHING if before is None else before

    def gained(name: str) -> int:
        return max(0, int(getattr(now, name) - getattr(before, name)))

    return SeriesPoint(
        at=at,
        seconds=seconds,
        accepted=gained("accepted"),
        answered=gained("answered"),
        rejected=gained("rejected"),
        timed_out=gained("timed_out"),
        client_gone=gained("client_gone"),
        lost=gained("lost"),
        statuses=_gained(now.statuses, before.statuses),
        latency=latency_cells.fine(_gained(now.cells, before.cells)),
        latency_seconds=max(0.0, now.latency_sum - before.latency_sum),
        stepped=gained("stepped"),
        steps=tuple(max(0.0, a - b) for a, b in zip(now.steps, before.steps, strict=True)),
        batches=max(0.0, now.batches - before.batches),
        request_bytes=gained("request_bytes"),
        response_bytes=gained("response_bytes"),
        cold_starts=gained("cold_starts"),
        cold_requests=gained("cold_requests"),
        cold={
            key: (count - known[0], max(0.0, spent - known[1]))
            for key, (count, spent) in now.cold.items()
            if count > (known := before.cold.get(key, (0, 0.0)))[0]
        },
    )


def add_counts(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    """The sum of two maps of counts."""
    both = dict(one)
    for key, count in other.items():
        both[key] = both.get(key, 0) + count
    return both


def _gained(now: Mapping[K, int], before: Mapping[K, int]) -> dict[K, int]:
    return {key: count - before.get(key, 0) for key, count in now.items() if count > before.get(key, 0)}


def _add_coarse(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True)) if one and other else one or other


def _add_cold(
    one: Mapping[str, tuple[int, float]], other: Mapping[str, tuple[int, float]]
) -> Mapping[str, tuple[int, float]]:
    both = dict(one)
    for key, (count, seconds) in other.items():
        known = both.get(key, (0, 0.0))
        both[key] = known[0] + count, known[1] + seconds
    return both


_NOTHING = Account()
_CELLS = Account._fields.index("cells")
