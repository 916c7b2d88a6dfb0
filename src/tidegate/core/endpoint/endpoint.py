"""An endpoint with its configurations, and the changes that updates, switches and rollbacks make to it."""

from dataclasses import dataclass, field, replace

from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.legacy_face import Face
from tidegate.core.endpoint.served_entity import ModelRef, ResolvedRef, ServedEntity
from tidegate.core.errors import Conflict

MAX_SERVED_ENTITIES = 10


@dataclass(frozen=True, slots=True)
class Route:
    """The percentage of an endpoint's traffic that a served entity gets."""

    served_entity: str
    traffic_percentage: int


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """The served entities and routes of an endpoint: one numbered unit, which is served as a whole."""

    version: int
    served_entities: tuple[ServedEntity, ...]
    routes: tuple[Route, ...]

    def entity(self, name: str) -> ServedEntity | None:
        """The served entity of that name; None where there is none."""
        return next((entity for entity in self.served_entities if entity.name == name), None)

    @property
    def resolved_refs(self) -> frozenset[ResolvedRef]:
        """The references of all entities, each with its exact version."""
        return frozenset((entity.model, entity.resolved) for entity in self.served_entities)


# Who has started an update, where that is no user.
FOLLOWER, ROLLBACK = "follower", "rollback"


@dataclass(frozen=True, slots=True)
class PendingConfig:
    """A configuration that is being built and started beside the active one.

    `by` has started the update: a user, FOLLOWER or ROLLBACK. `forced`: the switch to it has no gate.
    """

    config: EndpointConfig
    started_at: float  # unix seconds
    by: str = ""
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Switching:
    """A switch that has begun. Gateways may route by `to` already, so it is always finished.

    `generation` is the endpoint's at its beginning. `report` is the gate's, as JSON.
    """

    to: PendingConfig
    at: float  # unix seconds
    generation: int
    report: str = ""


@dataclass(frozen=True, slots=True)
class ParkedConfig:
    """The earlier active configuration, held for a rollback. `replaced_by` has started the update that replaced it."""

    config: EndpointConfig
    since: float  # unix seconds
    replaced_by: str = ""


@dataclass(frozen=True, slots=True)
class FailedConfig:
    """The configuration whose update failed, and why.

    `report` is the gate's, as JSON; empty where the gate was not the reason.
    """

    config: EndpointConfig
    message: str
    report: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint: its name, its active configuration, the pending one and the previous one.

    - `generation`: grows with every accepted change. `observed_generation` is the newest one that the reconciler has
      carried out or given up.
    - `lost`: the followed aliases and stages that point to no version.
    - `rejected`: versions that a rollback took away. Their alias or stage must point elsewhere before it brings them
      back.
    - `newest_version`: the highest number of a configuration so far.
    - `face`: that of an older product to which the endpoint belongs.
    - `gate`: the endpoint's own policy; None where the platform's applies.
    - `switching`: the switch under way. Its configuration is routed, whatever becomes of `pending` meanwhile.
    - `resource_version`: the store's compare-and-set stamp.
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
    rejected: tuple[ResolvedRef, ...] = ()
    newest_version: int = 0
    face: Face | None = None
    gate: GatePolicy | None = None
    switching: Switching | None = None
    resource_version: int = field(default=0, compare=False)

    @property
    def configs(self) -> tuple[EndpointConfig, ...]:
        """The active, pending and previous configurations, which the engine must hold. None of a deleted endpoint."""
        if self.deleted_at is not None:
            return ()
        parked = (self.previous.config,) if self.previous else ()
        return (*self.wanted, *parked)

    @property
    def wanted(self) -> tuple[EndpointConfig, ...]:
        """The active and pending configurations."""
        coming = (self.switching.to if self.switching else None, self.pending)
        wanted = (self.active, *(update.config if update else None for update in coming))
        return tuple(config for config in wanted if config is not None)

    @property
    def latest_config(self) -> EndpointConfig | None:
        """The pending configuration, or else the failed one, or else the active one."""
        if self.pending:
            return self.pending.config
        return self.failed.config if self.failed else self.active

    @property
    def next_version(self) -> int:
        """The number of the next configuration."""
        configs = [*self.configs, *([self.failed.config] if self.failed else [])]
        return 1 + max([self.newest_version, *(config.version for config in configs)])

    def parks(self, entity: ServedEntity) -> bool:
        """Whether an entity is held for a rollback only."""
        parked = self.previous is not None and entity in self.previous.config.served_entities
        return parked and not any(entity in config.served_entities for config in self.wanted)

    @property
    def routed(self) -> "Endpoint":
        """This endpoint as gateways route it: during a switch, with the new configuration."""
        return self if self.switching is None else self.promoted(self.switching.at)

    # --- changes; each returns the endpoint after it

    def with_update(self, config: EndpointConfig, now: float, by: str = "", *, forced: bool = False) -> "Endpoint":
        """This endpoint with `config` pending. Versions that it names are rejected no more."""
        models = [entity.model for entity in config.served_entities]
        return replace(
            self,
            pending=PendingConfig(config, now, by, forced),
            failed=None,
            rejected=tuple(old for old in self.rejected if old[0] in models and old not in config.resolved_refs),
            newest_version=max(self.newest_version, config.version),
            generation=self.generation + 1,
            updated_at=now,
        )

    def let_through(self, now: float, report: str = "") -> "Endpoint":
        """This endpoint with a switch to its pending configuration under way."""
        assert self.pending is not None
        return replace(self, switching=Switching(self.pending, now, self.generation, report))

    def promoted(self, now: float) -> "Endpoint":
        """This endpoint with the configuration of its switch, or else its pending one, as the active one.

        The earlier active configuration is parked, unless it was the same. An update that began during the switch stays
        pending. Where the pending configuration was dropped during the switch, a rollback is pending.
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
        """This endpoint after a failed update, with the same active configuration."""
        assert self.pending is not None
        failed = FailedConfig(self.pending.config, message, report)
        return replace(self, pending=None, failed=failed, observed_generation=self.generation)

    def rolled_back(self, now: float) -> "Endpoint":
        """This endpoint one step back: without its pending update, or else with the previous configuration pending.

        A pending rollback stays as it is. Raises Conflict where there is no configuration to go back to.
        """
        if self.active is None:
            raise Conflict(f"Endpoint '{self.name}' has nothing to roll back to: nothing has served yet.")
        if self.pending is not None:
            return self if self.pending.by == ROLLBACK else self._rejecting(self.active).update_dropped(now)
        if self.previous is None:
            raise Conflict(
                f"Endpoint '{self.name}' has nothing to roll back to: "
                "no configuration has served before the present one."
            )
        return replace(
            self._rejecting(self.previous.config),
            pending=PendingConfig(self.previous.config, now, ROLLBACK, forced=True),
            failed=None,
            generation=self.generation + 1,
            updated_at=now,
        )

    def update_dropped(self, now: float) -> "Endpoint":
        """This endpoint without its pending and failed updates."""
        generation = self.generation + 1
        return replace(
            self, pending=None, failed=None, generation=generation, observed_generation=generation, updated_at=now
        )

    def _rejecting(self, kept: EndpointConfig) -> "Endpoint":
        """This endpoint with all versions rejected that are active, pending or failed, but those of `kept`."""
        attempts = (self.pending, self.failed)
        taken = {*self.rejected, *(self.active.resolved_refs if self.active else ())}
        taken |= {ref for attempt in attempts if attempt for ref in attempt.config.resolved_refs}
        return replace(self, rejected=tuple(sorted(taken - kept.resolved_refs, key=str)))


def default_routes(entities: tuple[ServedEntity, ...]) -> tuple[Route, ...]:
    """The routes of a configuration without `traffic_config`: all traffic goes to the first entity."""
    return tuple(Route(entity.name, 0 if index else 100) for index, entity in enumerate(entities))
