"""What goes when nobody has used it for long, or when the disk budget is spent: environments, overlays, models, logs.

Replica logs are rotated by copying and truncating: a replica keeps its file open, and outlives whoever started it.
"""

import asyncio
import logging
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uv

from tidegate.control.builds import Builds, ModelCache
from tidegate.control.reconciler import Reconciler
from tidegate.core.lifecycle import RevisionState
from tidegate.core.revision import Revision
from tidegate.ports import Clock
from tidegate.settings import HousekeepingSettings
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

_ROTATE_EVERY = 60.0  # a model that prints a lot fills a disk within an hour
_SWEEP_EVERY = 3600.0
# What is younger may be on its way into use: built, and not yet on record.
_TOO_YOUNG = 3600.0
_OVER = frozenset({RevisionState.FAILED, RevisionState.RETIRED})


# --- deciding


@dataclass(frozen=True, slots=True)
class Item:
    """Something on disk that can be made again. `last_used` is in unix seconds."""

    path: Path
    size: int
    last_used: float
    in_use: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """How long what is unused may stay, and how many bytes there may be of everything."""

    unused_seconds: float
    size: int


def what_goes(items: Collection[Item], budget: Budget, now: float) -> tuple[Item, ...]:
    """The items to remove, the longest unused first. What is in use, or was just now, stays whatever the budget is."""
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
    """Sweeps hourly and rotates replica logs every minute."""

    def __init__(
        self, cache: ModelCache, settings: HousekeepingSettings, clock: Clock, reconciler: Reconciler, builds: Builds
    ) -> None:
        self._data, self._cache, self._settings, self._clock = cache.data, cache, settings, clock
        self._reconciler, self._builds = reconciler, builds
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._loop = asyncio.create_task(self._run(), name="housekeeping")

    async def stop(self) -> None:
        """End; a removal under way is finished."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait({self._loop})

    async def sweep(self) -> None:
        """Remove what goes, and touch what is in use."""
        used, known = self._used(), frozenset(self._reconciler.world.revisions)
        if not self._reconciler.looked:
            return  # before the first look at the store, everything looks unused
        over = await asyncio.to_thread(self._sweep, used, known)
        if over:
            await self._prune_uv_cache()

    def rotate(self) -> None:
        """Rotate every replica log that is too large."""
        limit = int(self._settings.log_file_mb * 1024 * 1024)
        for log in (self._data.logs / "replicas").glob("*.log"):
            if log.stat().st_size > limit:
                _rotate(log, self._settings.log_files)

    async def _run(self) -> None:
        swept: float | None = None
        while True:
            try:
                await asyncio.to_thread(self.rotate)
                if swept is None or self._clock.monotonic() - swept >= _SWEEP_EVERY:
                    await self.sweep()
                    swept = self._clock.monotonic()
            except Exception:
                logger.exception("housekeeping failed; it is tried again in a minute")
            await asyncio.sleep(_ROTATE_EVERY)

    def _used(self) -> frozenset[Path]:
        """What a revision that is not over needs, or a preparation has made."""
        used: set[Path] = set()
        for revision in self._reconciler.world.revisions.values():
            if revision.state not in _OVER:
                used |= set(self._needs(revision))
        for preparation in self._builds.preparations.values():
            if preparation.environment is not None:
                used |= {self._data.envs / preparation.environment.digest, Path(preparation.environment.overlay)}
        return frozenset(used)

    def _needs(self, revision: Revision) -> Iterator[Path]:
        yield self._cache.directory(revision.entity.resolved)
        if revision.environment is not None:
            yield self._data.envs / revision.environment.digest
            yield Path(revision.environment.overlay)

    def _sweep(self, used: Collection[Path], known: Collection[str]) -> bool:
        """Whether the budget is spent even afterwards."""
        now = self._clock.now()
        budget = Budget(self._settings.unused_days * 86400, int(self._settings.disk_budget_gb * 1e9))
        roots = (self._data.envs, self._data.overlays, self._data.models)
        items = [_item(path, path in used) for root in roots for path in _visible(root)]
        for item in items:
            if item.in_use:
                os.utime(item.path, (now, now))
        cache = _size(self._data.uv_cache)
        gone = what_goes([*items, Item(self._data.uv_cache, cache, now, in_use=True)], budget, now)
        for item in gone:
            _remove(item.path)
            logger.info("removed what was unused", extra=fields(path=item.path, bytes=item.size))
        for log in self._old_logs(known, now - budget.unused_seconds):
            log.unlink(missing_ok=True)
        return cache + sum(item.size for item in items) - sum(item.size for item in gone) > budget.size

    def _old_logs(self, known: Collection[str], before: float) -> Iterator[Path]:
        """Logs, rotated ones too, of revisions that are not on record any more."""
        for folder in (self._data.build_logs, self._data.logs / "replicas"):
            for log in folder.glob("*.log*"):
                if log.name.partition(".")[0] not in known and log.stat().st_mtime < before:
                    yield log

    async def _prune_uv_cache(self) -> None:
        """Have uv drop what of its cache is of no use to it."""
        command = (uv.find_uv_bin(), "cache", "prune", "--quiet", "--cache-dir", str(self._data.uv_cache))
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()


def _visible(root: Path) -> Iterable[Path]:
    """The directories below a root; those that begin with a dot are caches, locks and work under way."""
    return [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")] if root.exists() else []


def _item(path: Path, in_use: bool) -> Item:
    return Item(path, _size(path), path.stat().st_mtime, in_use)


def _size(root: Path) -> int:
    """Bytes on disk below a directory. A file that several environments share counts in each."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118 - 10^5 files: Path is slow
            except FileNotFoundError:
                continue
    return total


def _remove(path: Path) -> None:
    """Remove a directory. It is renamed first, so that nobody finds half of it."""
    trash = path.with_name(f".trash-{path.name}")
    shutil.rmtree(trash, ignore_errors=True)
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def _rotate(log: Path, keep: int) -> None:
    """`x.log` → `x.log.1` → … → `x.log.<keep>`. What is written between copy and truncation is lost."""
    for number in range(keep, 1, -1):
        earlier = log.with_name(f"{log.name}.{number - 1}")
        if earlier.exists():
            earlier.replace(log.with_name(f"{log.name}.{number}"))
    if keep > 0:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
