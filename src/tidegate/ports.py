"""What Tidegate needs from outside, as small protocols. Each method says whether it may block, and what it promises.

Implementations live in `tidegate.adapters` and `tidegate.engines`; every one of them, and its fake in the tests, passes
the same suite in `tests/contracts`.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.legacy_face import Product
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
    """The time. `now` is unix seconds and may jump; `monotonic` is for durations."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...


class LockMemory(Protocol):
    """Remembers the locks of requirements, so that unchanged requirements are resolved once."""

    async def lock_of(self, input_digest: str) -> str | None:
        """The lock remembered for these inputs, or None."""
        ...

    async def remember_lock(self, input_digest: str, lock: str) -> None:
        """Remember it. Idempotent; the newest wins."""
        ...


class Store(LockMemory, Protocol):
    """The database of endpoints, revisions, events, enabled models and locks. What a method has returned is durable.

    Every method may wait for the disk. Raises Unavailable when the database cannot be reached.
    """

    async def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints by name, those deleted but not yet forgotten included."""
        ...

    async def endpoint(self, name: str) -> Endpoint | None:
        """The endpoint of that name that is not deleted."""
        ...

    async def create_endpoint(self, endpoint: Endpoint) -> Endpoint:
        """Add it. Raises AlreadyExists when an endpoint that is not deleted has its name."""
        ...

    async def save_endpoint(self, endpoint: Endpoint, switch: Switch | None = None) -> Endpoint:
        """Replace it, and return it with its new resource_version. A `switch` is recorded with it, or neither is.

        Raises Conflict when the stored resource_version is not the given one: somebody else wrote in between.
        """
        ...

    async def forget_endpoint(self, endpoint_id: str) -> None:
        """Drop it with its revisions, events and switches. Idempotent."""
        ...

    async def revisions(self) -> Mapping[RevisionId, Revision]:
        """All revisions on record."""
        ...

    async def save_revision(self, revision: Revision) -> None:
        """Add or replace it."""
        ...

    async def drop_revisions(self, revisions: Collection[RevisionId]) -> None:
        """Drop all of them, or none. Idempotent."""
        ...

    async def add_event(self, event: Event) -> None:
        """Append it to its endpoint's history."""
        ...

    async def events(self, endpoint_id: str, limit: int = 200) -> tuple[Event, ...]:
        """The newest events of an endpoint, oldest first."""
        ...

    async def switches(self, endpoint_id: str) -> tuple[Switch, ...]:
        """The newest MAX_SWITCHES switches of an endpoint, oldest first."""
        ...

    async def enablements(self) -> tuple[Enablement, ...]:
        """The registered models whose serving is switched on, by product and name."""
        ...

    async def save_enablement(self, enablement: Enablement) -> Enablement:
        """Add it, or replace it, and return it with its new resource_version; one that was never saved has 0.

        Raises Conflict when the stored resource_version is not the given one: somebody else wrote in between.
        """
        ...

    async def drop_enablement(self, product: Product, model: str) -> None:
        """Forget it. Idempotent."""
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...


class ModelRegistry(Protocol):
    """An MLflow model registry. All methods may wait for the network.

    They raise NotFound (no such model, version or alias, or nothing in that stage), Conflict (the version is not ready
    yet, or its registration failed) or Unavailable (the registry cannot be reached), each naming what was asked.
    """

    async def resolve(self, ref: ModelRef) -> ModelVersion:
        """The exact version that `ref` means now."""
        ...

    async def pointers(self, names: Collection[str], listed: Collection[str] = ()) -> Mapping[str, ModelPointers]:
        """Where the aliases and stages of these models point now. Names that the registry does not have are absent.

        Those of `names` that are `listed` come with all their versions but those archived, which nobody serves by
        themselves and of which there may be many.
        """
        ...

    async def download(self, model: ModelVersion, destination: Path, log: Log) -> None:
        """Copy the version's artifacts into `destination`, which does not exist yet and appears whole or not at all.

        Raises NotFound too where the registry has another version of that name and number by now.
        """
        ...


class EnvironmentBuilder(Protocol):
    """Makes the environments that models run in."""

    async def build(self, model_dir: Path, log: Log, turn: Turn = nullcontext) -> Environment:
        """The environment that the model in `model_dir` asks for; built, or found when it is there already.

        What takes long, a resolution and a build, waits for its `turn`; what is there already waits for nobody.
        Idempotent, and safe to call at once for the same model. Cancelling it ends its child processes. Raises
        BuildFailed with a sentence that says what to change.
        """
        ...


class Engine(Protocol):
    """Holds revisions running: the only door between Tidegate and processes or clusters; targets become addresses."""

    async def apply(self, target: RevisionTarget) -> None:
        """Hold this target from now on. Idempotent. Raises Unavailable."""
        ...

    async def remove(self, revision: RevisionId) -> None:
        """Drain the revision and end it; returns at once. An unknown id is nothing. Raises Unavailable."""
        ...

    async def observe(self) -> Mapping[RevisionId, RevisionObservation]:
        """All that is held now, until its last process has ended. Raises Unavailable."""
        ...
