"""The overlay: the directory that adds the worker to a model's environment.

It holds a copy of `tidegate_worker` and the worker's accelerators for one Python minor version, at the versions of
`overlay_locks/`. It stands last on the worker's `sys.path`, so the model's own packages win. An upgrade of Tidegate
replaces the worker in it (`worker_source`).
"""

import asyncio
import hashlib
import json
from importlib.resources import files
from pathlib import Path

from tidegate.adapters.environments import worker_source
from tidegate.adapters.environments.build_directory import BuildDirectory
from tidegate.adapters.environments.interpreters import Interpreter
from tidegate.adapters.environments.uv import Uv, UvFailed
from tidegate.adapters.environments.uv_failures import DISK_FULL, explain
from tidegate.adapters.environments.worker_source import WORKER
from tidegate.ports import Log

# An overlay gets the locked files alone: no dependencies, and nothing that is built from source.
_INSTALL = ("pip", "install", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--link-mode", "hardlink")


class Overlays:
    """Builds overlays below `folder`, one per worker source, lock, Python minor version and platform."""

    def __init__(self, uv: Uv, folder: Path) -> None:
        self._uv = uv
        self._folder = folder

    async def obtain(self, interpreter: Interpreter, log: Log) -> Path:
        """The overlay for this interpreter.

        Where the accelerators cannot be installed, the overlay has none, and the worker is slower. Raises UvFailed when
        the disk is full.
        """
        lock = _lock_of(interpreter.minor)
        if lock:
            try:
                return await self._make(interpreter, lock, log)
            except UvFailed as failed:
                if DISK_FULL in str(failed):
                    raise
                log(f"The worker's accelerators cannot be installed: {explain(failed.lines)}")
        log(f"The worker runs without its accelerators under Python {interpreter.minor}.")
        return await self._make(interpreter, "", log)

    async def _make(self, interpreter: Interpreter, lock: str, log: Log) -> Path:
        source = worker_source.source()
        identity = [worker_source.digest(source), lock, interpreter.minor, interpreter.platform]
        key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        overlay = BuildDirectory(self._folder / key, WORKER)

        async def fill(descriptor: int) -> str:
            log(f"Making the worker's overlay for Python {interpreter.minor}")
            await asyncio.to_thread(worker_source.copy, source, overlay.path / WORKER)
            if lock:
                await self._install(interpreter, lock, overlay.path, log, descriptor)
            await _compile(interpreter, overlay.path)
            return json.dumps(identity)

        await overlay.make(fill, log)
        return overlay.path

    async def _install(self, interpreter: Interpreter, lock: str, target: Path, log: Log, descriptor: int) -> None:
        requirements = target / "accelerators.txt"
        requirements.write_text(lock)
        where = ("--target", str(target), "--python", interpreter.path, "-r", str(requirements))
        await self._uv.run_from_cache([*_INSTALL, *where], log, (descriptor,))


def _lock_of(minor: str) -> str:
    lock = files("tidegate.adapters.environments") / "overlay_locks" / f"{minor}.txt"
    return lock.read_text() if lock.is_file() else ""


async def _compile(interpreter: Interpreter, folder: Path) -> None:
    """Write bytecode as far as that Python can. Without bytecode, every start of a replica is slower."""
    process = await asyncio.create_subprocess_exec(
        *(interpreter.path, "-I", "-m", "compileall", "-q", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
