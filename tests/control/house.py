"""A control plane over fakes: real verbs, reconciler, builds and gateways' link; the ports do as the test says."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from tests.fakes.clock import FakeClock
from tests.fakes.engine import FakeEngine
from tests.fakes.environment_builder import FakeEnvironmentBuilder
from tests.fakes.model_registry import FakeModelRegistry
from tests.fakes.series_store import FakeSeriesStore
from tests.fakes.store import FakeStore
from tidegate import http
from tidegate.control.access.sessions import Sessions
from tidegate.control.cycle import Control, ControlPorts, ControlSettings
from tidegate.control.endpoints.endpoint_requests import UNRESOLVED, ConfigRequest, EndpointRequest
from tidegate.control.endpoints.endpoint_verbs import Endpoints
from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.control.registry.enabled_models import EnabledModels
from tidegate.control.reporting.prometheus_metrics import Metrics
from tidegate.control.series.series import Series
from tidegate.core.access.access_table import AccessTable
from tidegate.core.access.principal import ADMIN
from tidegate.core.endpoint.endpoint import Route
from tidegate.core.endpoint.revision import (
    Proof,
    RevisionId,
    RevisionObservation,
    RevisionTarget,
)
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion, ServedEntity
from tidegate.core.errors import BuildFailed
from tidegate.core.planes.account import Account
from tidegate.core.planes.load_report import Histogram, LoadReport, RevisionLoad
from tidegate.core.planes.published import Published
from tidegate.core.planes.route_table import RouteTable
from tidegate.core.rollout.plan import MAX_FAILED_STARTS
from tidegate.core.rollout.pointers import ModelPointers
from tidegate.core.rollout.replay import Findings, Replay
from tidegate.core.series.series_point import WHOLE
from tidegate.data_directory import DataDirectory
from tidegate.ports import Log
from tidegate.settings import RolloutSettings

CORES = 4  # of the machine
TOKEN = "a-token"
TOKEN_HASH = http.token_hash(TOKEN)
POLL = 30.0  # what a look of the follower returns when nothing moves
CALM, ASLEEP = 1.0, 5.0  # what a pass of the reconciler returns when all is as asked, and when nothing runs besides


class SlowRegistry(FakeModelRegistry):
    """Lets others work while it is asked, as a network does."""

    async def resolve(self, ref: ModelRef) -> ModelVersion:
        await asyncio.sleep(0)
        return await super().resolve(ref)

    async def pointers(self, names: Collection[str], listed: Collection[str] = ()) -> Mapping[str, ModelPointers]:
        found = await super().pointers(names, listed)
        await asyncio.sleep(0)
        return found

    async def download(self, model: ModelVersion, destination: Path, log: Log) -> None:
        await asyncio.sleep(0.01)
        await super().download(model, destination, log)


class Builder(FakeEnvironmentBuilder):
    """Counts its builds. While `gate` is clear they wait; `fault` is raised by each."""

    gate: asyncio.Event

    def __init__(self) -> None:
        super().__init__(asyncio.Event())
        self.gate.set()
        self.fault: Exception | None = None
        self.running = self.most = self.cancelled = 0

    async def make(self, model_dir: Path, requirements: str, log: Log) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await super().make(model_dir, requirements, log)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.fault is not None:
            raise self.fault


class ScriptedEngine(FakeEngine):
    """Knows the models that do not load by their served entity; `log` is what it was asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, str] = {}  # served entity → the sentence that its starts fail with
        self.warning = ""
        self.serving: dict[str, Any] = {}  # a proof's `path` and `batching`
        self.log: list[tuple[str, RevisionId]] = []

    @property
    def held(self) -> dict[RevisionId, RevisionObservation]:
        return self._held

    async def apply(self, target: RevisionTarget) -> None:
        self.log.append(("apply", target.revision))
        self.failures = {target.revision: self.broken[target.served_entity]} if self._breaks(target) else {}
        await super().apply(target)
        proof = None if self._breaks(target) else Proof("input_example", self.warning, **self.serving)
        starts = MAX_FAILED_STARTS if self._breaks(target) else 0  # the engine tries again by itself
        self.held[target.revision] = replace(self.held[target.revision], proof=proof, failed_starts=starts)

    async def remove(self, revision: RevisionId) -> None:
        self.log.append(("remove", revision))
        await super().remove(revision)

    def _breaks(self, target: RevisionTarget) -> bool:
        return target.served_entity in self.broken


class Gateway:
    """A gateway's end of the link: follows every table, unless it is `stubborn`, and reports what the test says."""

    def __init__(self, socket: Path, number: int = 0, pid: int = 1) -> None:
        self.tables: list[RouteTable] = []
        self.accesses: list[AccessTable] = []
        self.order: list[str] = []  # of what came: kinds of tables
        self.stubborn = False
        self.revisions: dict[RevisionId, RevisionLoad] = {}
        self.endpoints: dict[str, Account] = {}
        self.refused: dict[int, int] = {}
        self.cold_seconds: dict[str, Histogram] = {}
        self.ledger = "one"
        self.registry_writes = 0
        self.finds: Callable[[Replay], Findings | None] = lambda replay: Findings(replay.id)  # None: not done yet
        self._socket, self._number, self._pid = socket, number, pid
        self._followed = self._known = ""
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(self._socket, limit=2**24)
        self._listening = asyncio.create_task(self._listen(reader))
        self.report()

    async def close(self) -> None:
        assert self._writer is not None
        assert self._listening is not None
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        self._listening.cancel()
        await asyncio.wait({self._listening})

    def report(self) -> None:
        assert self._writer is not None
        report = LoadReport(
            self._number,
            self._pid,
            self._followed,
            dict(self.revisions),
            {name: {WHOLE: account} for name, account in self.endpoints.items()},
            dict(self.refused),
            registry_writes=self.registry_writes,
            ledger=self.ledger,
            cold_seconds=dict(self.cold_seconds),
            access_version=self._known,
            findings={found.id: found for found in map(self.finds, self._ordered) if found is not None},
        )
        self._writer.write(msgspec.json.encode(report) + b"\n")

    @property
    def _ordered(self) -> tuple[Replay, ...]:
        return self.tables[-1].replays if self.tables else ()

    def follow(self) -> None:
        self._followed = self.tables[-1].version if self.tables else ""
        self._known = self.accesses[-1].version if self.accesses else ""
        self.report()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            async for line in reader:
                message = msgspec.json.decode(line, type=Published)
                if message.routes is not None:
                    self.tables.append(message.routes)
                if message.access is not None:
                    self.accesses.append(message.access)
                self.order.append("access" if message.routes is None else "routes")
                if self.stubborn:
                    self.report()
                else:
                    self.follow()


class House:
    """All of it. `restart_control` forgets everything that is not in the store, on disk or in the engine."""

    expected = 1  # gateways; from the next control on

    def __init__(self, folder: Path, park_seconds: float, patience: float) -> None:
        self.patience = patience
        self.rollouts = RolloutSettings(park_seconds)
        self.data = DataDirectory(folder)
        self.data.create()
        self.store, self.registry, self.clock = FakeStore(), SlowRegistry(), FakeClock()
        self.kept = FakeSeriesStore()
        self.builder, self.engine = Builder(), ScriptedEngine()
        for version in "123":
            self.registry.add("wine", version)
        self._assemble()

    def _assemble(self) -> None:
        ports = ControlPorts(self.store, self.registry, self.builder, self.engine, self.clock, self.kept)
        self.control = Control(
            ports,
            self.data,
            ControlSettings(
                registry="reg",
                cores=CORES,
                gateways=self.expected,
                look_every=POLL,
                enable_patience=self.patience,
                agent=str(self.data.agent_socket),
                tokens={TOKEN_HASH: ADMIN},
                rollouts=self.rollouts,
            ),
        )
        self.gateways, self.builds, self.endpoints = self.control.gateways, self.control.builds, self.control.endpoints
        self.follower, self.minutes, self.metrics = self.control.follower, self.control.minutes, self.control.metrics
        self.enablements, self.sessions = self.control.enabled_models, self.control.sessions

    @property
    def faces(self) -> tuple[Endpoints, EnabledModels, Metrics, Sessions, Series]:
        """What the REST API is made of."""
        return self.endpoints, self.enablements, self.metrics, self.sessions, self.control.series

    async def start(self) -> None:
        await self.gateways.start()
        await self.control.sessions.sweep()
        self.gateway = Gateway(self.data.planes_socket)
        await self.gateway.connect()

    async def stop(self) -> None:
        await self.control.following.stop()
        await self.gateway.close()
        await self.control.stop()

    async def restart_control(self) -> None:
        await self.stop()
        self._assemble()
        await self.start()

    async def passes(self, count: int) -> None:
        """So many passes of the reconciler, each with all its actions, and time for what runs beside it."""
        for _ in range(count):
            await self.control.reconcile()
            await until(lambda: not self.control.actor.busy)
            await asyncio.sleep(0.002)

    async def settle(self) -> None:
        """Pass until all is as asked."""
        await self.until(self._calm)

    async def until(self, holds: Callable[[], object]) -> None:
        """Pass until something holds; let time pass, so that back-off ends."""
        deadline = time.monotonic() + 5
        while True:
            pause = await self.control.reconcile()
            self.last_pause = pause
            if holds():
                return
            assert time.monotonic() < deadline, "the control plane does not get there"
            self.clock.advance(pause)
            await asyncio.sleep(0.002)

    def _calm(self) -> bool:
        return self.last_pause in (CALM, ASLEEP)

    last_pause = 0.0

    # --- shorthands

    async def create(self, name: str = "wine", *entities: ServedEntity) -> EndpointView:
        return await self.endpoints.create(a_request(name, *entities))

    async def update(self, version: str, name: str = "wine") -> EndpointView:
        return await self.endpoints.update_config(name, ConfigRequest((an_entity(version),)))

    async def kinds(self, name: str = "wine") -> list[str]:
        """The kinds of an endpoint's events, oldest first."""
        return [event.kind for event in await self.endpoints.events(name)]

    async def state(self, name: str = "wine") -> tuple[str, str]:
        status = (await self.endpoints.get(name)).status
        return status.ready.value, status.config_update.value

    @property
    def serving(self) -> list[str]:
        """The served entities that the newest table routes to."""
        table = self.gateways.table
        assert table is not None
        return [table.revisions[rid].served_entity for rid in self.serving_revisions()]

    def serving_revisions(self) -> list[RevisionId]:
        """The revisions that the newest table routes to."""
        assert self.gateways.table is not None
        return [rid for route in self.gateways.table.endpoints.values() for rid in route.served.values()]

    @property
    def running(self) -> list[str]:
        """The served entities that have a replica."""
        return sorted(seen.target.served_entity for seen in self.engine.held.values() if seen.replicas)


def an_entity(version: str = "1", name: str | None = None, model: str = "wine") -> ServedEntity:
    """A served entity as it stands in a request."""
    return ServedEntity(name or f"{model}-{version.lstrip('@')}", ModelRef(model, version), UNRESOLVED)


def a_request(name: str = "wine", *entities: ServedEntity, routes: tuple[Route, ...] | None = None) -> EndpointRequest:
    """A creation as asked for."""
    return EndpointRequest(name, ConfigRequest(entities or (an_entity(),), routes), "admin")


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds, for 5 s at most."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def a_house(folder: Path, park_seconds: float = 0.0, patience: float = 0.0) -> AsyncIterator[House]:
    """A house that is up; the reconciler passes only when the test says so. `patience` is what a model that is enabled
    has with gateways: seconds, none where nobody passes meanwhile.
    """
    house = House(folder, park_seconds, patience)
    await house.start()
    try:
        yield house
    finally:
        await house.stop()


NO_BUILD = BuildFailed(
    "The environment could not be built: no version of 'nonsense' was found. Change the requirements."
)
