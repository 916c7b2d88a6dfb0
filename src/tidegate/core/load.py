"""What a gateway tells control: cumulative counters and what is under way. The only way load leaves a gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.core.revision import RevisionId

# Upper bounds of the latency histogram, seconds; a last bucket without bound follows.
LATENCY_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RevisionLoad:
    """What is under way for a revision in one gateway."""

    in_flight: int = 0
    queued: int = 0
    oldest_wait_seconds: float = 0.0
    busy_seconds: float = 0.0  # cumulative: time that replicas spent on its requests
    reruns: int = 0  # cumulative: requests run again because a replica died


@dataclass(frozen=True, slots=True)
class EndpointLedger:
    """Where an endpoint's requests went, cumulative since the gateway's start.

    accepted = answered + rejected + timed_out + client_gone + lost + in flight, exactly. `answered` counts every answer
    of a model, its errors included; `rejected` what the platform refused (a queue full, nothing serving).
    """

    accepted: int = 0
    answered: int = 0
    rejected: int = 0
    timed_out: int = 0
    client_gone: int = 0
    lost: int = 0
    in_flight: int = 0
    statuses: Mapping[int, int] = field(default_factory=dict)  # HTTP status → answers
    latency_counts: tuple[int, ...] = ()  # per bucket of LATENCY_BUCKETS, not cumulative over buckets
    latency_sum: float = 0.0  # seconds
    request_bytes: int = 0
    response_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One gateway's account. `refused` counts refusals before an endpoint was known, by HTTP status."""

    gateway: int
    pid: int
    route_version: str
    revisions: Mapping[RevisionId, RevisionLoad] = field(default_factory=dict)
    endpoints: Mapping[str, EndpointLedger] = field(default_factory=dict)
    refused: Mapping[int, int] = field(default_factory=dict)
    registry_writes: int = 0  # cumulative: successful writes to the registry that passed by
