"""The world as the plan sees it: a snapshot of the store, the engine and the gateways at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.revision import Environment, Revision, RevisionId, RevisionObservation
from tidegate.core.rollout.gate import GateDefaults
from tidegate.core.rollout.replay import Findings


class PreparationState(StrEnum):
    """The progress of a revision's preparation in this process of control."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Preparation:
    """The download of a model and the build of its environment."""

    state: PreparationState
    message: str = ""
    environment: Environment | None = None
    model_dir: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the plan depends on.

    - `observations`: the engine's; None while the engine does not answer, and the plan concludes nothing from that.
    - `unrouted`: the revisions that no gateway routes to, and of which none has a request.
    - `scales`: how many replicas READY revisions should have. A revision that is missing keeps its number.
    - `findings`: those of the replays that all gateways have finished, by replay id.
    """

    endpoints: tuple[Endpoint, ...] = ()
    revisions: Mapping[RevisionId, Revision] = field(default_factory=dict)
    preparations: Mapping[RevisionId, Preparation] = field(default_factory=dict)
    observations: Mapping[RevisionId, RevisionObservation] | None = None
    unrouted: frozenset[RevisionId] = frozenset()
    scales: Mapping[RevisionId, int] = field(default_factory=dict)
    memory_limits: Mapping[str, int] = field(default_factory=dict)  # workload_type → bytes that one replica may use
    gate: GateDefaults = field(default_factory=GateDefaults)
    findings: Mapping[str, Findings] = field(default_factory=dict)
