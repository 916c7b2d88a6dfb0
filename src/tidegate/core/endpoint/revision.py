"""A revision: one served entity at one exact model version, immutable; and what an engine holds and reports of it."""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NewType

from tidegate.core.endpoint.endpoint import Batching, EndpointConfig, ServedEntity
from tidegate.core.endpoint.lifecycle import RevisionState

RevisionId = NewType("RevisionId", str)  # 16 hex digits
EnvironmentDigest = NewType("EnvironmentDigest", str)  # 16 hex digits
ReplicaId = NewType("ReplicaId", str)  # 8 hex digits; also names its socket

# Ids that are not computed anew: every pass over all endpoints asks for each of them several times.
_REMEMBERED = 65536


@dataclass(frozen=True, slots=True)
class Address:
    """Where a replica listens: a Unix socket's path, or `host:port`; and the secret of this start of it."""

    path: str
    secret: str


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter with a model's packages; shared by all revisions whose lock is the same."""

    digest: EnvironmentDigest
    python: str  # path of the interpreter
    overlay: str  # directory of the worker's own packages for that interpreter, put last on its sys.path


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of a revision because it was tried: made once, never again on a later start.

    `example` tells what was predicted to become ready: the model's own input example, a row made from its signature,
    or nothing (then `warning` says why). `path` and `batching` are the worker's words on how it serves: the request
    path (`mode`, `input`, `reason`), and whether requests of different callers are predicted together (`mode`, `exact`,
    `reason`). `start` is the engine's word on how further replicas start: forked from a warm template or spawned
    (`mode`, `reason`). `costs` are the seconds that so many rows took together. Later replicas are told and do not try
    again. None or nothing where it was not tried yet.
    """

    example: str  # "input_example" | "signature" | "none"
    warning: str = ""
    path: Mapping[str, Any] | None = None
    batching: Mapping[str, Any] | None = None
    start: Mapping[str, Any] | None = None
    costs: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Revision:
    """One served entity at one exact version of its model.

    The environment's digest is recorded once, when it is resolved, and never changes.
    """

    id: RevisionId
    endpoint_id: str
    endpoint_name: str
    entity: ServedEntity
    generation: int  # the endpoint's generation that last asked for it
    state: RevisionState = RevisionState.PENDING
    state_since: float = 0.0  # unix seconds
    message: str = ""
    environment: Environment | None = None
    model_dir: str = ""  # the downloaded model; empty before it is prepared
    proof: Proof | None = None


@functools.lru_cache(_REMEMBERED)
def revision_id(endpoint_id: str, entity: ServedEntity) -> RevisionId:
    """The id of the revision that serves `entity`: a digest of all that makes it what it is."""
    values = asdict(entity)
    if not entity.resolved.registered_at:
        del values["resolved"]["registered_at"]  # a revision from before it was known keeps its id
    if entity.trials:
        del values["trials"]  # as before there was a choice
    canonical = json.dumps([endpoint_id, values], sort_keys=True, separators=(",", ":"))
    return RevisionId(hashlib.sha256(canonical.encode()).hexdigest()[:16])


def revision_ids(endpoint_id: str, config: EndpointConfig) -> dict[str, RevisionId]:
    """Served entity's name → its revision's id, in the configuration's order."""
    return {entity.name: revision_id(endpoint_id, entity) for entity in config.served_entities}


# --- what an engine holds and reports ---


@dataclass(frozen=True, slots=True)
class RevisionTarget:
    """What an engine must hold running for a revision. Complete: an engine needs nothing else, ever."""

    revision: RevisionId
    endpoint: str
    served_entity: str
    model_dir: str
    environment: Environment
    replicas: int
    min_replicas: int
    max_replicas: int
    timeout_seconds: float
    environment_vars: tuple[tuple[str, str], ...] = ()
    proved: bool = False  # its proof is on record: a further replica is ready as soon as it has loaded
    batching: Batching = Batching.AUTO
    memory_bytes: int = 0  # what one replica may use; 0: no limit
    trials: bool = True  # whether the model may be tried with more than its input example
    proof: Proof | None = None  # on record: what the engine need not find out
    parked: bool = False  # held for a rollback only: it makes room for others first


class ReplicaState(StrEnum):
    """The life of a replica, as its engine sees it."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Replica:
    """One process that predicts."""

    id: ReplicaId
    state: ReplicaState
    address: Address
    pid: int
    started_at: float  # unix seconds
    forked: bool = False  # from a warm template
    memory_bytes: int = 0  # PSS, measured now and then; 0 before
    cpu_seconds: float = 0.0  # cumulative; 0 where it is not measured


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the engine did to a revision, and why, for its owner to read."""

    at: float  # unix seconds; no two of a revision are equal
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class RevisionAddresses:
    """What the engine's agent tells a gateway of a revision, at once and at every change.

    `known` is False when the agent holds no target for it. `message` is the last failed start's sentence while no
    replica is ready, else empty.
    """

    revision: RevisionId
    known: bool
    replicas: tuple[tuple[ReplicaId, Address], ...] = ()  # those that are READY
    message: str = ""


@dataclass(frozen=True, slots=True)
class RevisionObservation:
    """What an engine reports of a revision.

    `target` is what the engine holds it to now. `failed_starts` counts the starts in a row that never became ready;
    `message` is the last failure's sentence, or what keeps replicas from being started.
    """

    target: RevisionTarget
    replicas: tuple[Replica, ...] = ()
    failed_starts: int = 0
    message: str = ""
    proof: Proof | None = None
    notices: tuple[Notice, ...] = ()  # the newest, oldest first

    @property
    def ready_replicas(self) -> int:
        """How many replicas can predict now."""
        return sum(replica.state is ReplicaState.READY for replica in self.replicas)
