"""Control's cycle, in the order in which it runs. Read it from top to bottom.

    observe → follow the registry → align enabled models → plan → act → publish → housekeeping

Five loops carry it, since their parts wait for different things. None of them waits for another, and each goes on
after any exception (`supervised_loop.py`):

- the reconciler (`reconcile`): observe, plan, act, publish; every 0.25 to 5 s, and at every wake-up;
- the follower (`follow_registry`): ask the registry, align, follow; every `registry.look_every` seconds, and at every
  wake-up;
- the recorder of the series (`recorder.run_once`): every second;
- housekeeping (`sweep_disk`): every hour;
- the sweep of sessions that have ended (`sessions.sweep`): every 10 minutes.

What one part tells another goes through `Wakeups`, or through the report of a gateway (`_gateway_reported`).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tidegate.control.access.sessions import Sessions
from tidegate.control.endpoints.endpoint_verbs import Endpoints
from tidegate.control.housekeeping import AGAIN_AFTER_FAILURE, SWEEP_EVERY, Housekeeping
from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.publish.route_publisher import Publisher
from tidegate.control.publish.slow_requests import SlowRequests
from tidegate.control.reconcile.actor import Actor
from tidegate.control.reconcile.autoscaler import Autoscaler
from tidegate.control.reconcile.builds import Builds
from tidegate.control.reconcile.endpoint_history import EndpointHistory
from tidegate.control.reconcile.model_cache import ModelCache
from tidegate.control.reconcile.planner import Planner
from tidegate.control.reconcile.replica_notices import ReplicaNotices
from tidegate.control.reconcile.world import Defaults, ReconcilerPorts, Sources, World
from tidegate.control.registry.enabled_model_queries import EnabledModelContext
from tidegate.control.registry.enabled_models import EnabledModels
from tidegate.control.registry.model_alignment import ModelAlignment
from tidegate.control.registry.model_catalog import ModelCatalog
from tidegate.control.registry.registry_follower import MAX_BACKOFF, RegistryFollower
from tidegate.control.reporting.minute_history import MinuteHistory
from tidegate.control.reporting.platform_view import Platform
from tidegate.control.reporting.prometheus_metrics import Metrics
from tidegate.control.series.kept_series import KeptSeries
from tidegate.control.series.recorder import Recorder
from tidegate.control.supervised_loop import SupervisedLoop
from tidegate.control.wakeups import Wakeups
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.errors import TidegateError
from tidegate.core.rollout.snapshot import Snapshot
from tidegate.data_directory import DataDirectory
from tidegate.ports import Clock, Engine, EnvironmentBuilder, ModelRegistry, SeriesStore, Store
from tidegate.settings import HousekeepingSettings, RolloutSettings, SeriesSettings

logger = logging.getLogger(__name__)

# Pauses of the reconciler, seconds: while something is under way; when all is as asked; and when no replica runs.
_BUSY, _CALM, _ASLEEP = 0.25, 1.0, 5.0
# Each event is a write to the store: when a thousand endpoints go to sleep at once, the others do not wait for it.
_EVENTS_A_PASS = 20
# How long a verb that enables a model waits for gateways to follow, seconds.
_ENABLE_PATIENCE = 1.0

_AT_REST = frozenset({RevisionState.READY, RevisionState.FAILED, RevisionState.RETIRED})


@dataclass(frozen=True, slots=True)
class ControlPorts:
    """The ports that control needs."""

    store: Store
    registry: ModelRegistry
    environments: EnvironmentBuilder
    engine: Engine
    clock: Clock
    series: SeriesStore


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """What an administrator chose, and what the machine has."""

    registry: str  # its URI
    cores: int
    registry_address: str = ""  # the same as people may see it; empty for the embedded one
    gateways: int = 1
    concurrent_builds: int = 2
    build_timeout: float = 3600.0  # seconds
    look_every: float = 30.0  # seconds
    enable_patience: float = _ENABLE_PATIENCE  # seconds
    agent: str = ""  # its socket
    supervisor: int = 0  # the process that has started all others of the platform; 0: none
    tokens: Mapping[str, str] = field(default_factory=dict)  # the principal of each token, by the token's hash
    defaults: Defaults = field(default_factory=Defaults)
    rollouts: RolloutSettings = field(default_factory=RolloutSettings)
    housekeeping: HousekeepingSettings = field(default_factory=HousekeepingSettings)
    series: SeriesSettings = field(default_factory=SeriesSettings)


class Control:
    """All parts of control, and the loops over them. `endpoints` and `enabled_models` are the verbs."""

    def __init__(self, ports: ControlPorts, data: DataDirectory, chosen: ControlSettings) -> None:
        self.wakeups = Wakeups()
        self._ports = ports
        clock, reconciler_ports = ports.clock, ReconcilerPorts(ports.store, ports.engine, ports.clock)

        # The link to the gateways.
        self.gateways = Gateways(data.planes_socket, chosen.gateways, self.wakeups.changed, self._gateway_reported)
        self.sessions = Sessions(ports.store, self.gateways, clock, chosen.tokens)
        self.publisher = Publisher(self.gateways, chosen.agent, chosen.defaults.gate, clock)
        self.slow_requests = SlowRequests([data.note_socket(number) for number in range(chosen.gateways)])

        # Observe, plan, act.
        cache = ModelCache(data, chosen.registry)
        self.builds = Builds(
            ports.registry,
            ports.environments,
            cache,
            clock,
            chosen.concurrent_builds,
            chosen.build_timeout,
            self.wakeups.changed,
        )
        self.autoscaler = Autoscaler(self.gateways, clock, chosen.cores, chosen.rollouts.park_seconds, self.wakeups)
        sources = Sources(self.builds, self.gateways, self.autoscaler, self.publisher)
        self.world = World(reconciler_ports, sources, self.wakeups, chosen.defaults)
        self.planner, self.history = Planner(), EndpointHistory(ports.store, clock)
        self.notices = ReplicaNotices(ports.store)
        self.actor = Actor(reconciler_ports, self.world, self.builds, self.publisher, self.history, self.wakeups)

        # What is recorded, and told, of the platform.
        self.recorder = Recorder(self.gateways, self.world, ports.series, clock, chosen.series.max_mb * 2**20)
        self.series = KeptSeries(self.recorder, self.world, self.autoscaler, clock)
        self.minutes = MinuteHistory(self.series, clock, chosen.cores)
        self.metrics = Metrics(self.gateways, self.world, self.builds, self.series, clock)

        # The verbs, and what follows the registry by calling them.
        self.endpoints = Endpoints(ports.store, ports.registry, clock, data, self.world, self.wakeups, chosen.rollouts)
        self.alignment = ModelAlignment(ports.store, self.endpoints, clock)
        context = EnabledModelContext(
            self.world, self.gateways, self.minutes, clock, self.wakeups, chosen.enable_patience
        )
        self.enabled_models = EnabledModels(ports.store, ports.registry, self.endpoints, self.alignment, context)
        self.catalog = ModelCatalog(ports.registry, clock, self.world, chosen.registry_address)
        self.platform = Platform(ports.engine, self.world, self.gateways, data, clock, chosen.supervisor)
        self.follower = RegistryFollower(
            ports.store, ports.registry, self.endpoints, self.alignment, self.gateways, self.wakeups, chosen.look_every
        )
        self.housekeeping = Housekeeping(cache, chosen.housekeeping, clock, self.world, self.builds)

        self.reconciling = SupervisedLoop("a pass of the reconciler", self.reconcile, _CALM, self.wakeups.reconciler)
        self.following = SupervisedLoop(
            "a look at aliases and stages", self.follow_registry, MAX_BACKOFF, self.wakeups.follower
        )
        self.recording = SupervisedLoop("the recording of series", self.recorder.run_once, 1.0)
        self.sweeping = SupervisedLoop("a sweep", self.sweep_disk, AGAIN_AFTER_FAILURE)
        self.admitting = SupervisedLoop("a sweep of sessions", self.sessions.sweep, _CALM)

    async def start(self) -> None:
        """Look once, so that the verbs have something to tell; then listen for gateways, and start the loops."""
        try:
            await self.world.observe()
            await self.sessions.sweep()
        except TidegateError as error:
            logger.warning("the first look at the world failed: %s", error.message)
        await self.gateways.start()
        for loop in (self.reconciling, self.following, self.recording, self.sweeping, self.admitting):
            loop.start()

    async def stop(self) -> None:
        """End the loops, the builds and the link. Replicas and gateways go on."""
        for loop in (self.admitting, self.sweeping, self.recording, self.following, self.reconciling):
            await loop.stop()
        await self.recorder.stop()
        await self.actor.stop()
        await self.builds.stop()
        await self.platform.close()
        await self.gateways.stop()

    # --- the reconciler: observe, plan, act, publish

    async def reconcile(self) -> float:
        """One pass. Returns the pause before the next in seconds: 0 where this one has written to the store.

        A pass is level-triggered: it starts from what is, not from what happened. An action that fails is logged, and
        planned again in a later pass. No endpoint waits for another's actions. Routes are published in two places: by
        `observe`, which sees what the store has, and by actions that change them. Raises Unavailable where the store
        cannot be read; nothing is done then.
        """
        busy = self.actor.busy  # asked before the look: what is seen of these endpoints may be old already
        world = await self.world.observe()
        actions = self.planner.plan(world)
        written = await self.actor.act(actions, left_alone=busy)
        await self.notices.take(world.observations or {}, world.revisions)
        for event in self.autoscaler.take_untold(_EVENTS_A_PASS):
            await self.history.add(event)
        if written:
            self.wakeups.store_changed = True
            return 0.0
        return self._pause(self.world.snapshot)

    def _pause(self, world: Snapshot) -> float:
        calm = all(revision.state in _AT_REST for revision in world.revisions.values()) and not any(
            endpoint.pending or endpoint.switching or endpoint.deleted_at is not None for endpoint in world.endpoints
        )
        if not calm or world.observations is None:
            return _BUSY
        return _ASLEEP if self.autoscaler.asleep else _CALM

    # --- the follower: ask the registry, align enabled models, follow

    async def follow_registry(self) -> float | None:
        """One look at the registry. Returns the pause before the next in seconds; None while nothing follows it."""
        return await self.follower.run_once()

    # --- housekeeping

    async def sweep_disk(self) -> float:
        """Remove from the disk what nobody has used for long. Returns the pause before the next sweep in seconds."""
        await self.housekeeping.sweep()
        return SWEEP_EVERY

    # --- what a gateway's report sets off

    def _gateway_reported(self) -> None:
        """Have every part that counts look at the new report. A defect in one of them does not end the link."""
        parts: tuple[Callable[[], None], ...] = (
            self.autoscaler.reported,
            self.follower.reported,
        )
        for take in parts:
            try:
                take()
            except Exception:
                logger.exception("a gateway's report could not be taken")
