"""The interfaces to everything outside `core`: store, registry, environments, engine, clock.

Implementations are in `tidegate.adapters` and `tidegate.engines`. Each of them, and each fake in the tests, passes the
same suite in `tests/contracts`. A docstring says whether a method waits, and which errors it raises.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate.core.access.session import Session
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.legacy_face import Product
from tidegate.core.endpoint.machine_report import MachineReport
from tidegate.core.endpoint.registered_model import ModelDetails, ModelSignature, RegisteredModel
from tidegate.core.endpoint.revision import Environment, Revision, RevisionId, RevisionObservation, RevisionTarget
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion
from tidegate.core.legacy_products.enablement import Enablement
from tidegate.core.rollout.pointers import ModelPointers
from tidegate.core.rollout.switch import Switch

# How many switches of each endpoint a store keeps.
MAX_SWITCHES = 100

Log = Callable[[str], None]
"""A log that a user reads while the work goes on. It takes one line at a time, without a newline."""

Turn = Callable[[], AbstractAsyncContextManager[None]]
"""A turn to do something that takes minutes. Entering it waits until the turn has come; leaving it ends the turn."""


@dataclass(frozen=True, slots=True)
class Event:
    """An entry in the history of an endpoint, which its owner reads."""

    endpoint_id: str
    at: float  # unix seconds
    kind: str
    message: str


class Clock(Protocol):
    """The time in seconds. `now` is unix time and may jump; `monotonic` never does, and is for durations."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...


class LockMemory(Protocol):
    """Remembers the locks of requirements, so that unchanged requirements are resolved once."""

    async def lock_of(self, input_digest: str) -> str | None:
        """The lock that is stored for a digest of requirements, or None."""
        ...

    async def remember_lock(self, input_digest: str, lock: str) -> None:
        """Store a lock. A later call for the same digest replaces it."""
        ...


class Store(LockMemory, Protocol):
    """The database of endpoints, revisions, events, enabled models, sessions and locks.

    What a method has returned is durable. Every method may wait for the disk. Raises Unavailable when the database
    cannot be reached.
    """

    async def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints, ordered by name. Deleted ones are among them until they are forgotten."""
        ...

    async def endpoint(self, name: str) -> Endpoint | None:
        """The endpoint of that name; None where there is none or it is deleted."""
        ...

    async def create_endpoint(self, endpoint: Endpoint) -> Endpoint:
        """Add an endpoint. Raises AlreadyExists when an endpoint that is not deleted has the name."""
        ...

    async def save_endpoint(self, endpoint: Endpoint, switch: Switch | None = None) -> Endpoint:
        """Replace an endpoint, and return it with its new resource_version. A `switch` is added in the same
        transaction.

        Raises Conflict when the stored resource_version differs: another writer was faster.
        """
        ...

    async def forget_endpoint(self, endpoint_id: str) -> None:
        """Drop an endpoint with its revisions, events and switches. Idempotent."""
        ...

    async def revisions(self) -> Mapping[RevisionId, Revision]:
        """All revisions, by id."""
        ...

    async def save_revision(self, revision: Revision) -> None:
        """Add or replace a revision."""
        ...

    async def drop_revisions(self, revisions: Collection[RevisionId]) -> None:
        """Drop these revisions in one transaction. Idempotent."""
        ...

    async def add_event(self, event: Event) -> None:
        """Add an event to its endpoint. What is no text in its message, NUL included, becomes a question mark."""
        ...

    async def events(self, endpoint_id: str, limit: int = 200) -> tuple[Event, ...]:
        """The newest `limit` events of an endpoint, oldest first."""
        ...

    async def switches(self, endpoint_id: str) -> tuple[Switch, ...]:
        """The newest MAX_SWITCHES switches of an endpoint, oldest first."""
        ...

    async def enablements(self) -> tuple[Enablement, ...]:
        """All enablements, ordered by product and model."""
        ...

    async def save_enablement(self, enablement: Enablement) -> Enablement:
        """Add or replace an enablement, and return it with its new resource_version. A new enablement comes with 0.

        Raises Conflict when the stored resource_version differs: another writer was faster.
        """
        ...

    async def drop_enablement(self, product: Product, model: str) -> None:
        """Drop an enablement. Idempotent."""
        ...

    async def sessions(self) -> tuple[Session, ...]:
        """All sessions, oldest first; those that have ended are among them until they are dropped."""
        ...

    async def save_session(self, session: Session) -> None:
        """Add or replace a session."""
        ...

    async def drop_sessions(self, hashes: Collection[str]) -> None:
        """Drop the sessions of these hashes in one transaction. Idempotent."""
        ...

    async def close(self) -> None:
        """Close the database."""
        ...


@dataclass(frozen=True, slots=True)
class PackedHour:
    """An hour of an endpoint's series, by the minute and by the quarter of an hour, as chains of blocks."""

    endpoint: str
    minutes: bytes
    quarters: bytes


class SeriesStore(Protocol):
    """The database of the time series. It knows chains of blocks (`core/series/series_codec.py`), not what they say.

    Minutes and hours are numbered from 1970. Endpoints are divided into shards. A chain that is written where there is
    one already is appended to it: after a clock was put back, the same minute comes again. What a method has returned
    survives the end of the process, but the last minutes may not survive that of the machine.

    Every method may wait for the disk. Raises Unavailable when the database cannot be used.
    """

    async def append(self, minute: int, shards: Mapping[int, bytes], totals: Mapping[int, bytes]) -> None:
        """Add a minute to the tail, by shard, and replace the totals of these shards, in one transaction."""
        ...

    async def tail(self, shard: int, first: int, last: int) -> Sequence[bytes]:
        """The chains of a shard's minutes in the tail, both ends included, oldest first."""
        ...

    async def oldest(self) -> Mapping[int, int]:
        """The oldest minute in the tail of each shard that has any."""
        ...

    async def totals(self) -> Mapping[int, bytes]:
        """The newest totals of each shard."""
        ...

    async def fold(self, shard: int, hour: int, hours: Sequence[PackedHour]) -> None:
        """Add an hour of these endpoints, and drop its minutes of the shard from the tail, in one transaction."""
        ...

    async def minutes(self, endpoint: str, first: int, last: int) -> Sequence[bytes]:
        """The chains of an endpoint's minutes in these hours, both ends included, oldest first.

        Hours whose minutes were given up for the budget are left out.
        """
        ...

    async def quarters(self, endpoint: str, first: int, last: int) -> Sequence[bytes]:
        """The chains of an endpoint's quarters of an hour in these hours, both ends included, oldest first."""
        ...

    async def size(self) -> int:
        """The bytes that the series take."""
        ...

    async def trim(self, max_bytes: int, oldest_hour: int) -> bool:
        """Forget some of what is older than `oldest_hour`; else some of the oldest hours' minutes, above `max_bytes`.

        It takes a few milliseconds. Returns whether it did anything, so that there may be more to do.
        """
        ...

    async def close(self) -> None:
        """Close the database."""
        ...


class ModelRegistry(Protocol):
    """An MLflow model registry. All methods may wait for the network.

    They raise NotFound (the model, version or alias does not exist, or the stage has no version), Conflict (the version
    is not ready, or its registration failed) or Unavailable (the registry cannot be reached). The sentence names the
    model.
    """

    async def resolve(self, ref: ModelRef) -> ModelVersion:
        """The exact version that a reference points to now."""
        ...

    async def pointers(self, names: Collection[str], listed: Collection[str] = ()) -> Mapping[str, ModelPointers]:
        """The aliases and stages of these models, by model name. Models that the registry does not have are left out.

        For the models in `listed`, the result also has all versions that are not archived.
        """
        ...

    async def list_models(self) -> tuple[RegisteredModel, ...]:
        """The registered models by name, at most MAX_MODELS."""
        ...

    async def describe(self, name: str) -> ModelDetails:
        """One model with its versions, of whatever status."""
        ...

    async def signature(self, model: ModelVersion) -> ModelSignature:
        """The signature of a version. It is read from the version's files, so this may raise BuildFailed and
        ConfigurationError as `download` does.
        """
        ...

    async def download(self, model: ModelVersion, destination: Path, log: Log) -> None:
        """Copy the version's files into `destination`, which does not exist and appears only once it is complete.

        Raises NotFound too where the registry has another version with this name and number by now.
        """
        ...


class EnvironmentBuilder(Protocol):
    """Builds the environments of models."""

    async def build(self, model_dir: Path, log: Log, turn: Turn = nullcontext) -> Environment:
        """The environment for the model in `model_dir`: built now, or found where it exists already.

        Resolving requirements and building happen inside `turn`; finding an environment does not. Concurrent calls for
        the same model are safe. A cancelled call ends its child processes. Raises BuildFailed with a sentence that says
        what to change.
        """
        ...


class Engine(Protocol):
    """Runs the replicas of revisions, as processes here or on a cluster. No other interface starts replicas."""

    async def apply(self, target: RevisionTarget) -> None:
        """Run this target from now on. Idempotent. Raises Unavailable."""
        ...

    async def remove(self, revision: RevisionId) -> None:
        """Drain a revision and end it, without waiting for that. An unknown id is ignored. Raises Unavailable."""
        ...

    async def observe(self) -> Mapping[RevisionId, RevisionObservation]:
        """All revisions that are held now. A removed one is among them until its last process ends.

        Raises Unavailable.
        """
        ...

    async def machine(self) -> MachineReport:
        """Who has the machine's memory, and what would make room. Raises Unavailable."""
        ...
