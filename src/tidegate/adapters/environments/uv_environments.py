"""The EnvironmentBuilder on uv: it locks a model's requirements once, and builds the environment of a lock once.

Unchanged requirements are not resolved again, as their lock is remembered. An environment whose packages are all in the
cache is built without the network.
"""

import asyncio
import errno
import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from tidegate.adapters.environments.build_directory import BuildDirectory, locked
from tidegate.adapters.environments.bytecode import Bytecode
from tidegate.adapters.environments.interpreters import Interpreters
from tidegate.adapters.environments.overlays import Overlays
from tidegate.adapters.environments.package_locks import (
    FORMAT,
    PackageLocks,
    PackageRequest,
    files_with,
    unhashed,
)
from tidegate.adapters.environments.uv import Uv, UvFailed, cache_for, variables_for_uv
from tidegate.adapters.environments.uv_failures import DISK_FULL, disk_full, explain, network_failed
from tidegate.adapters.requirements.local_files import check_and_digest
from tidegate.adapters.requirements.model_requirements import read_requirements
from tidegate.adapters.requirements.named_variables import refuse_local_values, variables_named, without_credentials
from tidegate.adapters.requirements.pip_requirements import MODEL_DIR
from tidegate.core.endpoint.revision import Environment, EnvironmentDigest
from tidegate.core.errors import BuildFailed
from tidegate.data_directory import DataDirectory
from tidegate.ports import EnvironmentBuilder, LockMemory, Log, Turn
from tidegate.settings import EnvironmentSettings

_PYTHON = "bin/python"
_SYNC = ("pip", "sync", "--link-mode", "hardlink")
_COMPILE = ("--compile-bytecode",)


class UvEnvironments:
    """Builds environments in the data directory. Builds see a part of the server's environment `environ`."""

    def __init__(
        self,
        data: DataDirectory,
        settings: EnvironmentSettings,
        locks: LockMemory,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._environ = environ
        self._envs = data.envs
        self._may_fetch = settings.allow_python_downloads
        cache = Path(settings.cache_dir) if settings.cache_dir else cache_for(data.uv_cache, environ)
        named = {k: v for k, v in environ.items() if f"${{{k}}}" in settings.index_url}
        self._uv = Uv(variables_for_uv(environ, cache, settings.index_url), named)
        self._interpreters = Interpreters(self._uv, data.pythons, settings.python_search, environ)
        self._locks = PackageLocks(locks)
        self._overlays = Overlays(self._uv, data.overlays)
        self._bytecode = Bytecode(data.envs / ".bytecode")

    async def build(self, model_dir: Path, log: Log, turn: Turn = nullcontext) -> Environment:
        """See EnvironmentBuilder."""
        try:
            return await self._build(
                await asyncio.to_thread(model_dir.resolve), lambda line: log(without_credentials(line)), turn
            )
        except UvFailed as failed:
            raise BuildFailed(without_credentials(explain(failed.lines))) from None
        except BuildFailed as failed:
            raise BuildFailed(without_credentials(failed.message)) from None
        except OSError as error:
            where = str(error.filename or self._envs)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise BuildFailed(disk_full(where)) from error
            raise BuildFailed(f"The environment could not be made: {where}: {error.strerror}.") from error

    async def _build(self, model_dir: Path, log: Log, turn: Turn) -> Environment:
        started = time.monotonic()
        log(f"Reading the requirements of the model in {model_dir}")
        wanted = await asyncio.to_thread(read_requirements, model_dir)
        for note in wanted.pip.notes:
            log(note)
        interpreter = await self._interpreters.obtain(
            wanted.python, log, may_fetch=self._may_fetch, recorded=wanted.recorded
        )
        pip = wanted.pip
        contents = await check_and_digest(pip.wheelhouses, pip.local, model_dir)
        named = variables_named([*pip.requirements, *pip.constraints, *pip.options, *pip.arguments], self._environ)
        refuse_local_values([*pip.requirements, *pip.constraints, *pip.options], named)
        uv = self._uv.seeing({MODEL_DIR: str(model_dir)}, default_index=not pip.names_index, named=named)
        environment = await self._environment(uv, PackageRequest(wanted, interpreter, contents), log, turn)
        overlay = await self._overlays.obtain(interpreter, log)
        log(f"Environment {environment.name} is ready after {time.monotonic() - started:.1f} s")
        return Environment(EnvironmentDigest(environment.name), str(environment / _PYTHON), str(overlay))

    async def _environment(self, uv: Uv, request: PackageRequest, log: Log, turn: Turn) -> Path:
        """The environment's directory. Where the index no longer has a remembered lock's files, it resolves anew."""
        async with locked(self._envs / f"inputs-{request.digest[:16]}", log):
            lock = remembered = await self._locks.remembered(request)
            if lock is None:
                async with turn():
                    lock = await self._locks.resolve(uv, request, log)
            else:
                log("The requirements are unchanged: their locked versions are used")
        try:
            return await self._install(uv, request, lock, log, turn)
        except UvFailed as failed:
            if remembered is None or DISK_FULL in str(failed) or network_failed(failed.lines):
                raise
        log("The remembered versions can no longer be installed")
        async with turn():
            lock = await self._locks.resolve(uv, request, log)
        return await self._install(uv, request, lock, log, turn)

    async def _install(self, uv: Uv, request: PackageRequest, lock: str, log: Log, turn: Turn) -> Path:
        """The directory of the lock's environment, which is built unless it is there."""
        identity = [FORMAT, lock, request.contents, request.interpreter.version, request.interpreter.platform]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        environment = BuildDirectory(self._envs / digest, _PYTHON)

        async def fill(descriptor: int) -> str:
            async with turn():
                return await build(descriptor)

        async def build(descriptor: int) -> str:
            log(f"Building environment {digest}")
            venv = ("venv", "--no-project", "--python", request.interpreter.path, str(environment.path))
            await uv.run(venv, log, (descriptor,))
            hashes = () if unhashed(lock) else ("--require-hashes",)
            with files_with([*request.wanted.pip.options, *lock.split("\n")]) as (file,):
                arguments = (*_SYNC, *hashes, *request.arguments(str(environment.path / _PYTHON)), str(file))
                await uv.run_from_cache(arguments, log, (descriptor,))
                minor = request.interpreter.minor
                if missing := await asyncio.to_thread(self._bytecode.link, environment.path, minor):
                    log(f"Compiling {missing} files; those compiled before are linked")
                    await uv.run_from_cache((*arguments, *_COMPILE), log, (descriptor,))
                    await asyncio.to_thread(self._bytecode.keep, environment.path, minor)
            await asyncio.to_thread(_mask_urls, uv, environment.path)
            return lock

        for entry in unhashed(lock):
            log(f"Without a hash, so taken as it is: {entry}")
        if not await environment.make(fill, log):
            log(f"Environment {digest} is there already")
        return environment.path


def _mask_urls(uv: Uv, environment: Path) -> None:
    """Mask the values of variables in the files that say where a package came from."""
    for record in environment.glob("lib/python*/site-packages/*.dist-info/direct_url.json"):
        text = record.read_text()
        if uv.masked(text) != text:
            record.unlink()  # it may be a link into uv's cache
            record.write_text(uv.masked(text))


_: type[EnvironmentBuilder] = UvEnvironments
