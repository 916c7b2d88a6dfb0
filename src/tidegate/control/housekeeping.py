"""Removes what nobody has used for long, and more when the disk budget is spent: environments, overlays, models, logs.

Every sweep touches what is in use, so that a directory's mtime is the time of its last use. The agent rotates the logs
of replicas.
"""

import asyncio
import logging
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

from tidegate.control.reconcile.builds import Builds
from tidegate.control.reconcile.disk_size import size_on_disk
from tidegate.control.reconcile.model_cache import ModelCache
from tidegate.control.reconcile.world import World
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Revision, RevisionId
from tidegate.core.rollout.snapshot import Preparation
from tidegate.ports import Clock
from tidegate.settings import HousekeepingSettings
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# Pauses between sweeps, seconds.
SWEEP_EVERY, AGAIN_AFTER_FAILURE = 3600.0, 60.0
# What was used less than this many seconds ago may be about to be used: it is built, and not on record yet.
_TOO_YOUNG = 3600.0
_Revisions = Mapping[RevisionId, Revision]
_Preparations = Mapping[RevisionId, Preparation]

_OVER = frozenset({RevisionState.FAILED, RevisionState.RETIRED})


# --- deciding


@dataclass(frozen=True, slots=True)
class Item:
    """A directory that can be made again: `size` in bytes, `last_used` in unix seconds."""

    path: Path
    size: int
    last_used: float
    in_use: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """How many seconds an unused item may stay, and how many bytes all items may have."""

    unused_seconds: float
    size: int


def what_goes(items: Collection[Item], budget: Budget, now: float) -> tuple[Item, ...]:
    """The items to remove, the longest unused first. What is in use, or was in the last hour, stays in any case."""
    total = sum(item.size for item in items)
    goes: list[Item] = []
    for item in sorted(items, key=lambda item: item.last_used):
        unused = now - item.last_used
        if not item.in_use and unused > _TOO_YOUNG and (unused > budget.unused_seconds or total > budget.size):
            goes.append(item)
            total -= item.size
    return tuple(goes)


# --- acting


class Housekeeping:
    """Sweeps the data directory. A removal that has begun is finished even where the sweep is cancelled."""

    def __init__(
        self, cache: ModelCache, settings: HousekeepingSettings, clock: Clock, world: World, builds: Builds
    ) -> None:
        self._data, self._cache, self._settings, self._clock = cache.data, cache, settings, clock
        self._world, self._builds = world, builds

    async def sweep(self) -> None:
        """Remove what goes, and touch what is in use. Before the first look at the store nothing is known to be used,
        so nothing is removed.
        """
        if self._world.looked:
            revisions, preparations = self._world.snapshot.revisions, self._builds.preparations
            if await asyncio.to_thread(self._sweep, revisions, preparations):
                await self._prune_uv_cache()

    def _used(self, revisions: _Revisions, preparations: _Preparations) -> frozenset[Path]:
        """The directories that a present revision needs, or that a preparation has made."""
        used: set[Path] = set()
        for revision in revisions.values():
            if revision.state not in _OVER:
                used |= set(self._needs(revision))
        for preparation in preparations.values():
            if preparation.environment is not None:
                used |= {self._data.envs / preparation.environment.digest, Path(preparation.environment.overlay)}
        return frozenset(path.resolve() for path in used)

    def _needs(self, revision: Revision) -> Iterator[Path]:
        yield self._cache.directory(revision.entity.resolved)
        if revision.environment is not None:
            yield self._data.envs / revision.environment.digest
            yield Path(revision.environment.overlay)

    def _sweep(self, revisions: _Revisions, preparations: _Preparations) -> bool:
        """Sweep. Returns whether the disk budget is spent even afterwards."""
        now, used = self._clock.now(), self._used(revisions, preparations)
        budget = Budget(self._settings.unused_days * 86400, int(self._settings.disk_budget_gb * 1e9))
        roots = (self._data.envs, self._data.overlays, self._data.models)
        items = [_item(path, path.resolve() in used) for root in roots for path in _visible(root)]
        for item in items:
            if item.in_use:
                os.utime(item.path, (now, now))
        cache = size_on_disk(self._data.uv_cache)
        gone = what_goes([*items, Item(self._data.uv_cache, cache, now, in_use=True)], budget, now)
        for item in gone:
            if item.path.stat().st_mtime != item.last_used:
                continue  # a build has found a use for it meanwhile
            _remove(item.path)
            logger.info("removed what was unused", extra=fields(path=item.path, bytes=item.size))
        for file in (*self._old_logs(revisions, now - budget.unused_seconds), *self._without_environment()):
            file.unlink(missing_ok=True)
        return cache + sum(item.size for item in items) - sum(item.size for item in gone) > budget.size

    def _old_logs(self, known: Collection[str], before: float) -> Iterator[Path]:
        """Logs, rotated ones too, of revisions that are no longer on record."""
        for folder in (self._data.build_logs, self._data.logs / "replicas"):
            for log in folder.glob("*.log*"):
                if log.name.partition(".")[0] not in known and log.stat().st_mtime < before:
                    yield log

    def _without_environment(self) -> Iterator[Path]:
        """Import records and logs of templates whose environment has gone."""
        for folder in (self._data.imports, self._data.template_log("-").parent):
            for file in folder.glob("*"):
                if not (self._data.envs / file.name.partition(".")[0]).exists():
                    yield file

    async def _prune_uv_cache(self) -> None:
        """Have uv remove the entries of its cache that it cannot use."""
        command = (uv.find_uv_bin(), "cache", "prune", "--quiet", "--cache-dir", str(self._data.uv_cache))
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()


def _visible(root: Path) -> Iterable[Path]:
    """The directories below a root, without caches, locks and unfinished work: those begin with a dot."""
    return [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")] if root.exists() else []


def _item(path: Path, in_use: bool) -> Item:
    return Item(path, size_on_disk(path), path.stat().st_mtime, in_use)


def _remove(path: Path) -> None:
    """Remove a directory. It is renamed first, so that nobody finds half of it."""
    trash = path.with_name(f".trash-{path.name}")
    shutil.rmtree(trash, ignore_errors=True)
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)
