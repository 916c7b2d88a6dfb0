"""A directory that is complete or absent. One builder at a time builds it in place.

The builder holds a `flock`, which its child processes inherit: after a killed builder the lock is held until its last
child has ended. A marker, written last, says that the directory is complete. The directory cannot be built elsewhere
and renamed, as scripts and bytecode hold absolute paths.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tidegate.adapters.environments.marker import MARKER, mark
from tidegate.ports import Log

_LOCKS = ".locks"
_POLL_SECONDS = 0.05


class BuildDirectory:
    """One such directory. Without the paths `needs` in it, it is not complete, whatever its marker says."""

    def __init__(self, path: Path, *needs: str) -> None:
        self.path = path
        self._needs = (MARKER, *needs)

    async def make(self, fill: Callable[[int], Awaitable[str]], log: Log) -> bool:
        """Have `fill` build the directory unless it is complete. Returns whether `fill` ran.

        `fill` gets the lock's descriptor, for its child processes to inherit, and returns the marker's text. When it
        raises or is cancelled, the directory is removed.
        """
        if self._is_whole():
            return False
        async with locked(self.path, log) as descriptor:
            if self._is_whole():
                return False
            await asyncio.to_thread(self._remove)
            try:
                text = await fill(descriptor)
                await asyncio.to_thread(mark, self.path, text)
            except BaseException:
                await _to_its_end(self._remove)
                raise
        return True

    def _is_whole(self) -> bool:
        if not all((self.path / need).exists() for need in self._needs):
            return False
        os.utime(self.path)  # housekeeping removes directories that were not used for long
        return True

    def _remove(self) -> None:
        # The marker first: a removal that is cut short must not leave a directory that looks complete.
        (self.path / MARKER).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)


async def _to_its_end(work: Callable[[], None]) -> None:
    """Run `work` in a thread: an environment has 10⁵ files, and removing them takes seconds.

    A cancellation meanwhile takes effect when `work` has ended: it must not leave half of a directory.
    """
    running, cancelled = asyncio.create_task(asyncio.to_thread(work)), False
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled = True
    running.result()
    if cancelled:
        raise asyncio.CancelledError


@asynccontextmanager
async def locked(path: Path, log: Log) -> AsyncIterator[int]:
    """Hold the lock that belongs to `path`, alone among all tasks and processes; yields its descriptor."""
    locks = path.parent / _LOCKS
    locks.mkdir(exist_ok=True)
    descriptor = os.open(locks / path.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _acquire(descriptor, log)
        try:
            yield descriptor
        finally:
            # Explicitly: a daemon that a package's build left behind would hold the lock for ever.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


async def _acquire(descriptor: int, log: Log) -> None:
    waited = False
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waited:
                log("Another build of the same is under way: waiting for it.")
            waited = True
            await asyncio.sleep(_POLL_SECONDS)
