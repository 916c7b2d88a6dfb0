"""The platform at a glance: the machine's account, its processes, environments, gateways, and builds under way.

A look reads /proc and the disk in a thread, and is told again to all who ask within two seconds.
"""

import asyncio
import importlib.metadata
import math
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil

import tidegate
from tidegate.control.publish.gateway_links import Gateways, GatewayStanding
from tidegate.control.reconcile.disk_size import size_on_disk
from tidegate.control.reconcile.world import World
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.machine_report import MachineReport
from tidegate.core.endpoint.revision import EnvironmentDigest, Replica, Revision, RevisionId
from tidegate.core.errors import TidegateError
from tidegate.core.rollout.preparation_steps import Step
from tidegate.core.rollout.snapshot import PreparationState
from tidegate.data_directory import DataDirectory
from tidegate.ports import Clock, Engine
from tidegate.processes.process_table import ProcessSample, platform_processes
from tidegate.supervised import attempted

# How long a look is told again, and how long sizes on disk are, seconds: to walk an environment takes up to a second.
KEPT_SECONDS, SIZES_SECONDS = 2.0, 60.0
_MOST_REPLICAS = 50
# The processes that the engine tells of; there may be a thousand of them.
_OF_THE_ENGINE = ("replica", "template")
_OVER = frozenset((RevisionState.FAILED, RevisionState.RETIRED))
_VERSIONED = ("mlflow", "uv", "starlette", "aiohttp")


@dataclass(frozen=True, slots=True)
class ProcessView:
    """A process of the platform. `cpu` is its share of one core since the last look; None at the first."""

    sample: ProcessSample
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentView:
    """An environment on disk. `size` is None until it has been measured; shared files count in each."""

    digest: EnvironmentDigest
    python: str
    packages: int
    made_at: float  # unix seconds
    size: int | None
    used_by: tuple[str, ...]  # endpoints


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """A replica of an endpoint."""

    endpoint: str
    served_entity: str
    replica: Replica


@dataclass(frozen=True, slots=True)
class BuildView:
    """A preparation under way: in which step it is, and for how many seconds."""

    endpoint: str
    served_entity: str
    step: Step
    seconds: float | None


@dataclass(frozen=True, slots=True)
class PlatformView:
    """All of it. `machine` is None while the engine does not answer, and `trouble` then says why."""

    at: float  # unix seconds
    machine: MachineReport | None
    trouble: str
    cpu: float | None  # the share of all cores in use since the last look
    processes: tuple[ProcessView, ...]
    replicas: tuple[ReplicaRow, ...]  # the largest
    more_replicas: int
    environments: tuple[EnvironmentView, ...]
    gateways: tuple[GatewayStanding, ...]
    expected_gateways: int
    builds: tuple[BuildView, ...]
    disk_free: int
    disk_total: int
    models_size: int | None
    versions: Mapping[str, str]
    revisions: Mapping[RevisionId, Revision]


@dataclass(frozen=True, slots=True)
class _Local:
    """What was read from this machine."""

    processes: tuple[ProcessSample, ...]
    environments: tuple[tuple[EnvironmentDigest, str, int, float], ...]
    disk_free: int
    disk_total: int
    cpu: tuple[float, float]  # seconds of all cores together: in use, and all that passed


class Platform:
    """Looks at the platform. `supervisor` is the process that has started all others of it."""

    def __init__(
        self, engine: Engine, world: World, gateways: Gateways, data: DataDirectory, clock: Clock, supervisor: int
    ) -> None:
        self._engine, self._world, self._gateways = engine, world, gateways
        self._data, self._clock, self._supervisor = data, clock, supervisor
        self._turn = asyncio.Lock()
        self._view: PlatformView | None = None
        self._looked_at = self._measured_at = -math.inf  # monotonic seconds
        self._cpu: dict[int, float] = {}  # pid → CPU seconds at the last look
        self._machine_cpu = (0.0, 0.0)  # as in _Local
        self._sizes: dict[str, int] = {}
        self._measuring: asyncio.Task[None] | None = None
        self._versions = _versions()

    async def view(self) -> PlatformView:
        """The platform as it is now, or was two seconds ago."""
        async with self._turn:
            now = self._clock.monotonic()
            if self._view is None or now - self._looked_at >= KEPT_SECONDS:
                self._view = await self._look(now)
                self._looked_at = now
            return self._view

    async def close(self) -> None:
        """Give up a measurement that runs."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.wait({self._measuring})

    async def _look(self, now: float) -> PlatformView:
        machine, trouble = None, ""
        try:
            machine = await self._engine.machine()
        except TidegateError as error:
            trouble = error.message
        local = await asyncio.to_thread(self._read)
        self._measure(now)
        passed = local.cpu[1] - self._machine_cpu[1] if self._view is not None else 0.0
        cpu = (local.cpu[0] - self._machine_cpu[0]) / passed if passed > 0 else None
        self._machine_cpu = local.cpu
        processes = tuple(ProcessView(one, self._share(one, now)) for one in local.processes)
        self._cpu = {one.pid: one.cpu_seconds for one in local.processes}
        replicas = sorted(self._replicas(), key=lambda row: -row.replica.memory_bytes)
        revisions = self._world.snapshot.revisions
        return PlatformView(
            self._clock.now(),
            machine,
            trouble,
            cpu,
            processes,
            tuple(replicas[:_MOST_REPLICAS]),
            max(0, len(replicas) - _MOST_REPLICAS),
            tuple(self._environments(local)),
            self._gateways.standings(),
            self._gateways.expected,
            tuple(self._builds()),
            local.disk_free,
            local.disk_total,
            self._sizes.get("models"),
            self._versions,
            revisions,
        )

    def _share(self, process: ProcessSample, now: float) -> float | None:
        before, passed = self._cpu.get(process.pid), now - self._looked_at
        if before is None or not 0 < passed < math.inf:
            return None
        return max(0.0, process.cpu_seconds - before) / passed

    def _replicas(self) -> Iterator[ReplicaRow]:
        for observation in self._world.observations.values():
            for replica in observation.replicas:
                yield ReplicaRow(observation.target.endpoint, observation.target.served_entity, replica)

    def _environments(self, local: _Local) -> Iterator[EnvironmentView]:
        used: dict[str, set[str]] = {}
        for revision in self._world.snapshot.revisions.values():
            if revision.environment is not None and revision.state not in _OVER:
                used.setdefault(revision.environment.digest, set()).add(revision.endpoint_name)
        for digest, python, packages, made_at in local.environments:
            size, users = self._sizes.get(digest), tuple(sorted(used.get(digest, ())))
            yield EnvironmentView(digest, python, packages, made_at, size, users)

    def _builds(self) -> Iterator[BuildView]:
        snapshot, now = self._world.snapshot, self._clock.now()
        for rid, preparation in snapshot.preparations.items():
            revision = snapshot.revisions.get(rid)
            if preparation.state is not PreparationState.RUNNING or revision is None:
                continue
            open_spans = [(step, span) for step, span in self._world.times.spans(rid).items() if span.ended is None]
            step, span = open_spans[-1] if open_spans else (Step.DOWNLOAD, None)
            seconds = max(0.0, now - span.began) if span is not None else None
            yield BuildView(revision.endpoint_name, revision.entity.name, step, seconds)

    # --- in a thread

    def _read(self) -> _Local:
        usage, times = shutil.disk_usage(self._data.root), psutil.cpu_times()
        all_seconds = sum(times) - times.guest - times.guest_nice  # both are in others already
        return _Local(
            tuple(platform_processes(self._supervisor, _OF_THE_ENGINE)),
            tuple(self._environments_on_disk()),
            usage.free,
            usage.total,
            (all_seconds - times.idle - times.iowait, all_seconds),
        )

    def _environments_on_disk(self) -> Iterator[tuple[EnvironmentDigest, str, int, float]]:
        for path in sorted(self._data.envs.iterdir()) if self._data.envs.exists() else ():
            config = path / "pyvenv.cfg"
            if path.name.startswith(".") or not config.is_file():
                continue
            values = dict(line.partition("=")[::2] for line in config.read_text(errors="replace").splitlines())
            python = next((value.strip() for key, value in values.items() if key.strip() in _PYTHON_KEYS), "")
            packages = sum(1 for _ in path.glob("lib/python*/site-packages/*.dist-info"))
            yield EnvironmentDigest(path.name), python[:40], packages, config.stat().st_mtime

    def _measure(self, now: float) -> None:
        """Begin to measure sizes on disk where they are old; the look does not wait for that."""
        if now - self._measured_at >= SIZES_SECONDS and (self._measuring is None or self._measuring.done()):
            self._measured_at = now
            self._measuring = asyncio.create_task(attempted(self._measure_all(), "sizes on disk"))

    async def _measure_all(self) -> None:
        def walk() -> dict[str, int]:
            found = {path.name: size_on_disk(path) for path in self._data.envs.glob("[!.]*") if path.is_dir()}
            return found | {"models": size_on_disk(self._data.models)}

        self._sizes = await asyncio.to_thread(walk)


_PYTHON_KEYS = ("version_info", "version")


def _versions() -> Mapping[str, str]:
    found = {"Tidegate": tidegate.__version__, "Python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
