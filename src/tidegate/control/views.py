"""What the verbs over endpoints tell of them, besides the endpoints themselves."""

from dataclasses import dataclass

from tidegate.core.endpoint.endpoint import ParkedConfig
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.revision import Replica, RevisionId
from tidegate.core.rollout.switch import Switch


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """A replica, as the engine reported it last, and the served entity that it predicts for."""

    served_entity: str
    revision: RevisionId
    replica: Replica


@dataclass(frozen=True, slots=True)
class SwitchesView:
    """An endpoint's switches, oldest first, and what is parked.

    `kept_until` is when its replicas end, unix seconds; None when their time is over.
    """

    switches: tuple[Switch, ...]
    parked: ParkedConfig | None
    kept_until: float | None


@dataclass(frozen=True, slots=True)
class GateView:
    """What an endpoint's gate holds back, and its newest report as JSON; empty where no gate has looked yet."""

    policy: GatePolicy
    report: str
