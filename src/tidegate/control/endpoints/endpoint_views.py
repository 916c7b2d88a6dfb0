"""What the verbs over endpoints return."""

from dataclasses import dataclass
from enum import StrEnum

from tidegate.core.endpoint.endpoint import Endpoint, ParkedConfig
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.revision import Replica, RevisionId
from tidegate.core.endpoint.status import EndpointStatus
from tidegate.core.rollout.switch import Switch


class LogKind(StrEnum):
    """The logs of a served entity."""

    SERVER = "server"  # what its replicas print
    BUILD = "build"  # how its model and environment were prepared


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint and its public state."""

    endpoint: Endpoint
    status: EndpointStatus


@dataclass(frozen=True, slots=True)
class RunningView:
    """The replicas of an endpoint's active configuration, over all its served entities, as the engine last told.

    `wanted` is what the engine is told to have, from `least` to `most`. `memory_limit` is that of one replica in bytes,
    the highest; 0 where there is none.
    """

    ready: int = 0
    wanted: int = 0
    least: int = 0
    most: int = 0
    memory_limit: int = 0


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """A replica as in the engine's newest report, and the served entity that it predicts for."""

    served_entity: str
    revision: RevisionId
    replica: Replica


@dataclass(frozen=True, slots=True)
class SwitchesView:
    """An endpoint's switches, oldest first, and its parked configuration.

    `kept_until` is when the parked replicas end, unix seconds; None when they have ended.
    """

    switches: tuple[Switch, ...]
    parked: ParkedConfig | None
    kept_until: float | None


@dataclass(frozen=True, slots=True)
class GateView:
    """An endpoint's gate policy, and the gate's newest report as JSON; empty before the first report."""

    policy: GatePolicy
    report: str
