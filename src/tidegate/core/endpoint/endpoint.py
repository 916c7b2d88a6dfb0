"""An endpoint as its owner asked for it: types, verbs, defaults."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.legacy_face import Face
from tidegate.core.endpoint.names import fit_name
from tidegate.core.errors import Conflict

# How long an endpoint that may go to zero is kept without a request, unless its owner says otherwise.
IDLE_TIMEOUT_SECONDS = 1800.0

# --- types ---


class Batching(StrEnum):
    """Whether requests of different callers may be predicted together."""

    AUTO = "auto"  # when proved safe
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as asked for: registered name, and a version number, an alias (`@champion`) or a stage."""

    name: str
    version: str

    @property
    def uri(self) -> str:
        """MLflow's own URI of it: `models:/wine/3`, `models:/wine@champion`."""
        return f"models:/{self.name}{self.version}" if self.alias else f"models:/{self.name}/{self.version}"

    @property
    def alias(self) -> str | None:
        """The alias's name, or None where a version or a stage was asked for."""
        return self.version[1:] if self.version.startswith("@") else None


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model version as the registry resolved it: exact, and never changing its content.

    When a model was deleted or renamed, another may have its name, and numbers its versions from 1 anew. So
    `registered_at` belongs to what a version is; it is 0 in records from before it was known.
    """

    name: str
    version: str
    registered_at: int = 0  # milliseconds since 1970, by the registry's clock


Meaning = tuple[ModelRef, ModelVersion]
"""A model as asked for, and the exact version that it meant."""


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """How many replicas a revision may have. One replica predicts one request or batch at a time."""

    min_replicas: int
    max_replicas: int
    idle_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class ServedEntity:
    """One model behind an endpoint, with what it needs to run.

    `model` is as asked; `resolved` the exact version it meant when the configuration was accepted.
    """

    name: str
    model: ModelRef
    resolved: ModelVersion
    workload_size: str = "Small"
    workload_type: str = "CPU"
    scale_to_zero_enabled: bool = False
    min_provisioned_concurrency: int | None = None
    max_provisioned_concurrency: int | None = None
    environment_vars: tuple[tuple[str, str], ...] = ()
    idle_timeout_seconds: float = IDLE_TIMEOUT_SECONDS
    batching: Batching = Batching.AUTO
    timeout_seconds: float = 60.0
    retry_on_crash: bool = True
    trials: bool = True

    @property
    def may_be_tried(self) -> bool:
        """Whether the model may be asked what no caller has asked, or the same again, to find out how it is served."""
        return self.trials and self.retry_on_crash

    @property
    def scaling(self) -> ScalingPolicy:
        """The replicas this entity may have. A size is a limit, see WORKLOAD_SIZES; only an explicit minimum is kept
        ready.
        """
        low, high = 0, WORKLOAD_SIZES.get(self.workload_size, WORKLOAD_SIZES["Small"])[1]
        if self.max_provisioned_concurrency is not None:
            low, high = self.min_provisioned_concurrency or 0, self.max_provisioned_concurrency
        floor = 0 if self.scale_to_zero_enabled else max(1, low)
        return ScalingPolicy(floor, max(1, low, high), self.idle_timeout_seconds)


@dataclass(frozen=True, slots=True)
class Route:
    """The share of an endpoint's traffic that a served entity gets, in percent."""

    served_entity: str
    traffic_percentage: int


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """What is behind an endpoint, as one numbered unit that is served whole or not at all."""

    version: int
    served_entities: tuple[ServedEntity, ...]
    routes: tuple[Route, ...]

    def entity(self, name: str) -> ServedEntity | None:
        """The served entity of that name."""
        return next((entity for entity in self.served_entities if entity.name == name), None)

    @property
    def meanings(self) -> frozenset[Meaning]:
        """The exact model version behind each of the models that were asked for."""
        return frozenset((entity.model, entity.resolved) for entity in self.served_entities)


# Who asks for a configuration where it is no principal.
FOLLOWER, ROLLBACK = "follower", "rollback"


@dataclass(frozen=True, slots=True)
class PendingConfig:
    """A configuration on its way: being built and started beside the one that serves.

    `by` is who asked for it: a principal, FOLLOWER or ROLLBACK. `forced`: it is switched to without a gate.
    """

    config: EndpointConfig
    started_at: float  # unix seconds
    by: str = ""
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Switching:
    """A switch that has begun, at this `generation`: gateways may route to `to` already, so there is no way back.

    `report` is the gate's, as JSON.
    """

    to: PendingConfig
    at: float  # unix seconds
    generation: int
    report: str = ""


@dataclass(frozen=True, slots=True)
class ParkedConfig:
    """The configuration that served before, held for a rollback. `replaced_by` asked for the one that serves now."""

    config: EndpointConfig
    since: float  # unix seconds
    replaced_by: str = ""


@dataclass(frozen=True, slots=True)
class FailedConfig:
    """The configuration that the last update failed to bring up, and why.

    `report` is what the gate found that held it back, as JSON; empty where it was not the gate.
    """

    config: EndpointConfig
    message: str
    report: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint: a name, the configuration that serves, the one on its way, and the one that served before.

    `generation` grows with every accepted change of the specification; `observed_generation` is the last one that the
    reconciler has carried out or given up. `lost` are the aliases and stages that it follows and that point nowhere.
    `rejected` is what a rollback took away: no alias or stage puts the version on again before it has moved elsewhere.
    `newest_version` is the highest number that a configuration was given by an update. One with a `face` belongs to an
    older product. `gate` is None where the platform's policy applies. While it is `switching`, what it is switched to
    is routed, whatever becomes of `pending` meanwhile. `resource_version` is the store's compare-and-set stamp.
    """

    id: str
    name: str
    creator: str
    created_at: float  # unix seconds
    updated_at: float  # unix seconds
    active: EndpointConfig | None = None
    pending: PendingConfig | None = None
    failed: FailedConfig | None = None
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    route_optimized: bool = False
    generation: int = 1
    observed_generation: int = 0
    deleted_at: float | None = None
    lost: tuple[ModelRef, ...] = ()
    previous: ParkedConfig | None = None
    rejected: tuple[Meaning, ...] = ()
    newest_version: int = 0
    face: Face | None = None
    gate: GatePolicy | None = None
    switching: Switching | None = None
    resource_version: int = field(default=0, compare=False)

    @property
    def configs(self) -> tuple[EndpointConfig, ...]:
        """The configurations that must be held: what serves, what is on its way, what is parked. None once deleted."""
        if self.deleted_at is not None:
            return ()
        parked = (self.previous.config,) if self.previous else ()
        return (*self.wanted, *parked)

    @property
    def wanted(self) -> tuple[EndpointConfig, ...]:
        """The configurations that serve or are to serve."""
        coming = (self.switching.to if self.switching else None, self.pending)
        wanted = (self.active, *(one.config if one else None for one in coming))
        return tuple(config for config in wanted if config is not None)

    @property
    def latest_config(self) -> EndpointConfig | None:
        """The newest configuration of any kind: pending, failed or active."""
        if self.pending:
            return self.pending.config
        return self.failed.config if self.failed else self.active

    @property
    def next_version(self) -> int:
        """The number of the next configuration: higher than any before it."""
        configs = [*self.configs, *([self.failed.config] if self.failed else [])]
        return 1 + max([self.newest_version, *(config.version for config in configs)])

    def parks(self, entity: ServedEntity) -> bool:
        """Whether it is held for a rollback only."""
        parked = self.previous is not None and entity in self.previous.config.served_entities
        return parked and not any(entity in config.served_entities for config in self.wanted)

    @property
    def routed(self) -> "Endpoint":
        """This endpoint as gateways are to see it: serving what it is being switched to."""
        return self if self.switching is None else self.promoted(self.switching.at)

    # --- the verbs of an update; each returns the endpoint as it is after it

    def with_update(self, config: EndpointConfig, now: float, by: str = "", *, forced: bool = False) -> "Endpoint":
        """This endpoint with `config` on its way. What it asks for anew outweighs an earlier rollback."""
        models = [entity.model for entity in config.served_entities]
        return replace(
            self,
            pending=PendingConfig(config, now, by, forced),
            failed=None,
            rejected=tuple(one for one in self.rejected if one[0] in models and one not in config.meanings),
            newest_version=max(self.newest_version, config.version),
            generation=self.generation + 1,
            updated_at=now,
        )

    def let_through(self, now: float, report: str = "") -> "Endpoint":
        """This endpoint being switched to what is pending."""
        assert self.pending is not None
        return replace(self, switching=Switching(self.pending, now, self.generation, report))

    def promoted(self, now: float) -> "Endpoint":
        """This endpoint serving what it is being switched to, or else what is pending. What served is parked, unless it
        was the same.

        What was written into the switch goes on: another update; or the way back to what served before, where the
        one that is switched to was dropped.
        """
        to = self.switching.to if self.switching else self.pending
        assert to is not None
        new, old, previous = to.config, self.active, self.previous
        if old is not None and (old.served_entities, old.routes) != (new.served_entities, new.routes):
            previous = ParkedConfig(old, now, to.by)
        pending, observed = None, self.generation
        if self.switching is not None and self.pending != to:
            back = PendingConfig(old, now, ROLLBACK, forced=True) if old else None
            pending, observed = self.pending or back, self.switching.generation
        return replace(
            self,
            active=new,
            pending=pending,
            failed=None,
            previous=previous,
            switching=None,
            observed_generation=observed,
        )

    def update_failed(self, message: str, report: str = "") -> "Endpoint":
        """This endpoint after its update failed; what served before still serves."""
        assert self.pending is not None
        failed = FailedConfig(self.pending.config, message, report)
        return replace(self, pending=None, failed=failed, observed_generation=self.generation)

    def rolled_back(self, now: float) -> "Endpoint":
        """This endpoint one step back: without the update on its way, or with what served before on its way back.

        A rollback that is on its way already is left alone. Raises Conflict when there is nothing to go back to.
        """
        if self.active is None:
            raise Conflict(f"Endpoint '{self.name}' has nothing to roll back to: nothing has served yet.")
        if self.pending is not None:
            return self if self.pending.by == ROLLBACK else self._rejecting(self.active).update_dropped(now)
        if self.previous is None:
            raise Conflict(
                f"Endpoint '{self.name}' has nothing to roll back to: no configuration served before the one that does."
            )
        return replace(
            self._rejecting(self.previous.config),
            pending=PendingConfig(self.previous.config, now, ROLLBACK, forced=True),
            failed=None,
            generation=self.generation + 1,
            updated_at=now,
        )

    def update_dropped(self, now: float) -> "Endpoint":
        """This endpoint with what serves as all that is asked for."""
        generation = self.generation + 1
        return replace(
            self, pending=None, failed=None, generation=generation, observed_generation=generation, updated_at=now
        )

    def _rejecting(self, kept: EndpointConfig) -> "Endpoint":
        """This endpoint, knowing that its owner wants `kept` in place of what serves, is on its way or has failed."""
        attempts = (self.pending, self.failed)
        taken = {*self.rejected, *(self.active.meanings if self.active else ())}
        taken |= {meaning for attempt in attempts if attempt for meaning in attempt.config.meanings}
        return replace(self, rejected=tuple(sorted(taken - kept.meanings, key=str)))


# --- defaults ---

# Concurrent requests, lowest and highest, of the workload sizes. Source: Databricks' serving-endpoints API.
WORKLOAD_SIZES = {"Small": (4, 4), "Medium": (8, 16), "Large": (16, 64)}

MAX_SERVED_ENTITIES = 10
MAX_ENVIRONMENT_VARS = 50
MAX_VARIABLE_BYTES = 32 * 1024  # of a variable's name and value together
# What programs a replica runs and how its interpreter and libraries behave is the platform's to say.
_RESERVED_VARIABLES = frozenset({"PATH", "HOME", "GLIBC_TUNABLES"})
_RESERVED_PREFIXES = ("LD_", "PYTHON", "TIDEGATE_", "_MLFLOW")


def is_reserved_variable(name: str) -> bool:
    """Whether a served entity may not set this environment variable of its replicas."""
    return name in _RESERVED_VARIABLES or name.startswith(_RESERVED_PREFIXES)


def default_served_name(model: ModelRef) -> str:
    """`{model}-{version}` in the characters that a served name may have."""
    return fit_name(model.name, model.version)


def default_routes(entities: tuple[ServedEntity, ...]) -> tuple[Route, ...]:
    """All traffic to the first entity: what a configuration without `traffic_config` means."""
    return tuple(Route(entity.name, 0 if index else 100) for index, entity in enumerate(entities))
