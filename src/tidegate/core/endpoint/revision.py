"""A revision, which is one served entity at one exact model version; its target; and what an engine reports of it."""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NewType

from tidegate.core.endpoint.endpoint import EndpointConfig
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.served_entity import Batching, ServedEntity

RevisionId = NewType("RevisionId", str)  # 16 hex digits
EnvironmentDigest = NewType("EnvironmentDigest", str)  # 16 hex digits
ReplicaId = NewType("ReplicaId", str)  # 8 hex digits; also names its socket

# How many computed ids are cached: every pass over all endpoints asks for each of them several times.
_REMEMBERED = 65536


@dataclass(frozen=True, slots=True)
class Address:
    """Where a replica listens: the path of a Unix socket, or `host:port`.

    Each start of a replica has its own secret.
    """

    path: str
    secret: str


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter with a model's packages. All revisions with the same lock share it."""

    digest: EnvironmentDigest
    python: str  # path of the interpreter
    overlay: str  # directory of the worker's own packages for that interpreter, put last on its sys.path


@dataclass(frozen=True, slots=True)
class Proof:
    """What trials have shown of a revision. They are made once; later replicas get the proof and make none.

    - `example`: what the first replica predicted to become ready. It is the model's own input example, a row made from
      its signature, or nothing; `warning` then says why.
    - `path`: the request path by which it serves (`mode`, `input`, `reason`).
    - `batching`: whether requests of different callers are predicted together (`mode`, `exact`, `reason`).
    - `start`: whether replicas are forked from a warm template or spawned (`mode`, `reason`).
    - `costs`: pairs of a number of rows and the seconds that they took as one batch.

    `path`, `batching` and `start` are None before their trial.
    """

    example: str  # "input_example" | "signature" | "none"
    warning: str = ""
    path: Mapping[str, Any] | None = None
    batching: Mapping[str, Any] | None = None
    start: Mapping[str, Any] | None = None
    costs: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Revision:
    """One served entity at one exact version of its model. Its environment, once resolved, never changes."""

    id: RevisionId
    endpoint_id: str
    endpoint_name: str
    entity: ServedEntity
    generation: int  # the newest generation of the endpoint that has it
    state: RevisionState = RevisionState.PENDING
    state_since: float = 0.0  # unix seconds
    message: str = ""
    environment: Environment | None = None
    model_dir: str = ""  # the downloaded model; empty before it is prepared
    proof: Proof | None = None


@functools.lru_cache(_REMEMBERED)
def revision_id(endpoint_id: str, entity: ServedEntity) -> RevisionId:
    """The id of the revision that serves `entity`: a digest of the endpoint's id and all of the entity's values."""
    values = asdict(entity)
    if not entity.resolved.registered_at:
        del values["resolved"]["registered_at"]  # older revisions, which have no such value, keep their ids
    if entity.trials:
        del values["trials"]  # older revisions, which had no such choice, keep their ids
    canonical = json.dumps([endpoint_id, values], sort_keys=True, separators=(",", ":"))
    return RevisionId(hashlib.sha256(canonical.encode()).hexdigest()[:16])


def revision_ids(endpoint_id: str, config: EndpointConfig) -> dict[str, RevisionId]:
    """Served entity's name → its revision's id, in the configuration's order."""
    return {entity.name: revision_id(endpoint_id, entity) for entity in config.served_entities}


# --- what an engine holds and reports ---


@dataclass(frozen=True, slots=True)
class RevisionTarget:
    """What an engine has to run for a revision. An engine needs nothing besides it."""

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
    proved: bool = False  # its proof is in the store: a further replica is ready as soon as it has loaded
    batching: Batching = Batching.AUTO
    memory_bytes: int = 0  # the limit of one replica; 0: none
    trials: bool = True  # whether trials may ask the model more than its input example
    proof: Proof | None = None  # the proof in the store, which saves the engine the trials
    parked: bool = False  # kept for a rollback only: it is evicted before others


class ReplicaState(StrEnum):
    """The states of a replica, as its engine sees them."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Replica:
    """A process that serves a revision's model."""

    id: ReplicaId
    state: ReplicaState
    address: Address
    pid: int
    started_at: float  # unix seconds
    forked: bool = False  # from a warm template
    memory_bytes: int = 0  # PSS at the last measurement; 0 before the first
    cpu_seconds: float = 0.0  # cumulative; 0 where it is not measured
    # When it had loaded its model, and when it was ready, unix seconds; 0 before, and where it is not known. A replica
    # that starts with a proof does not tell of the former.
    loaded_at: float = 0.0
    ready_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the engine did to a revision and why, for the owner to read."""

    at: float  # unix seconds; no two of a revision are equal
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class RevisionAddresses:
    """What an agent sends a gateway that watches a revision, at once and at every change.

    `known` is False where the agent holds no target for it. While no replica is ready, `message` is the sentence of the
    last failed start, or says that there is no memory; else it is empty.
    """

    revision: RevisionId
    known: bool
    replicas: tuple[tuple[ReplicaId, Address], ...] = ()  # those that are READY
    message: str = ""


@dataclass(frozen=True, slots=True)
class RevisionObservation:
    """What an engine reports of a revision.

    `target` is its target now. `failed_starts` counts the starts in a row of replicas that never became ready.
    `message` is the sentence of the last failure, or says why no replica can be started. `failed_loaded_at` is when
    the replica of the last failed start had loaded its model, unix seconds; 0 where it had not.
    """

    target: RevisionTarget
    replicas: tuple[Replica, ...] = ()
    failed_starts: int = 0
    message: str = ""
    proof: Proof | None = None
    notices: tuple[Notice, ...] = ()  # the newest ones, oldest first
    failed_loaded_at: float = 0.0

    @property
    def ready_replicas(self) -> int:
        """How many replicas can predict now."""
        return sum(replica.state is ReplicaState.READY for replica in self.replicas)
