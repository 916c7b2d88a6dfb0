"""The only counter of requests: every endpoint's ledger, and what is under way. Everything else reads it.

accepted = answered + rejected + timed_out + client_gone + lost + in flight, exactly, at any moment between two calls.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

from tidegate.core.load import LATENCY_BUCKETS, EndpointLedger, LoadReport, RevisionLoad
from tidegate.core.revision import RevisionId


class Account:
    """One endpoint's ledger. Each request is accepted once and closed once, by one of the four ways to end."""

    __slots__ = (
        "accepted", "answered", "bytes_in", "bytes_out", "client_gone", "latencies", "rejected", "seconds", "statuses",
        "timed_out",
    )  # fmt: skip

    def __init__(self) -> None:
        self.accepted = self.answered = self.rejected = self.timed_out = self.client_gone = 0
        self.bytes_in = self.bytes_out = 0
        self.seconds = 0.0
        self.latencies = [0] * (len(LATENCY_BUCKETS) + 1)
        self.statuses: Counter[int] = Counter()

    def accept(self) -> None:
        """A request for this endpoint came in."""
        self.accepted += 1

    def answer(self, status: int, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """It was answered by the model, its errors included."""
        self.answered += 1
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self._observe(status, seconds)

    def reject(self, status: int, seconds: float) -> None:
        """The platform refused it: too large, a queue full, nothing serving."""
        self.rejected += 1
        self._observe(status, seconds)

    def time_out(self, status: int, seconds: float) -> None:
        """Its deadline passed."""
        self.timed_out += 1
        self._observe(status, seconds)

    def leave(self) -> None:
        """Its caller went away."""
        self.client_gone += 1

    def _observe(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.seconds += seconds
        self.latencies[bisect_left(LATENCY_BUCKETS, seconds)] += 1

    @property
    def in_flight(self) -> int:
        """Requests accepted and not closed."""
        return self.accepted - self.answered - self.rejected - self.timed_out - self.client_gone

    def ledger(self) -> EndpointLedger:
        """The account as it stands."""
        return EndpointLedger(
            accepted=self.accepted,
            answered=self.answered,
            rejected=self.rejected,
            timed_out=self.timed_out,
            client_gone=self.client_gone,
            in_flight=self.in_flight,
            statuses=dict(self.statuses),
            latency_counts=tuple(self.latencies),
            latency_sum=self.seconds,
            request_bytes=self.bytes_in,
            response_bytes=self.bytes_out,
        )


class Meter:
    """All accounts of one gateway."""

    def __init__(self, gateway: int, pid: int) -> None:
        self._gateway, self._pid = gateway, pid
        self._accounts: dict[str, Account] = {}
        self.refused: Counter[int] = Counter()
        self.registry_writes = 0

    def account(self, endpoint: str) -> Account:
        """The endpoint's account; opened at its first request."""
        account = self._accounts.get(endpoint)
        if account is None:
            account = self._accounts[endpoint] = Account()
        return account

    def refuse(self, status: int) -> None:
        """A request was refused before its endpoint was known."""
        self.refused[status] += 1

    def report(self, route_version: str, revisions: Mapping[RevisionId, RevisionLoad]) -> LoadReport:
        """What control is told."""
        return LoadReport(
            gateway=self._gateway,
            pid=self._pid,
            route_version=route_version,
            revisions=revisions,
            endpoints={name: account.ledger() for name, account in self._accounts.items()},
            refused=dict(self.refused),
            registry_writes=self.registry_writes,
        )
