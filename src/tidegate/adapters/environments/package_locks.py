"""Locks of models' packages: exact versions with hashes. A lock is remembered for the requirements that it solves."""

import asyncio
import hashlib
import json
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from tidegate.adapters.environments.interpreters import Interpreter
from tidegate.adapters.environments.uv import Uv, UvFailed
from tidegate.adapters.environments.uv_failures import missing_packages, network_failed, refusal
from tidegate.adapters.requirements.conda_file import refuse_conda_only
from tidegate.adapters.requirements.control_characters import has_control
from tidegate.adapters.requirements.model_requirements import ModelRequirements
from tidegate.adapters.requirements.pinned_hashes import with_pinned_hashes
from tidegate.core.errors import BuildFailed
from tidegate.ports import LockMemory, Log

# A part of every digest: after a change in how locks or environments are made, earlier ones must not be found.
FORMAT = 1
# Before Python 3.12 every environment had setuptools, and old packages rely on it. This version has pkg_resources.
_USUAL_SETUPTOOLS = "setuptools==65.5.0"
_HAD_SETUPTOOLS = {"3.8", "3.9", "3.10", "3.11"}
_COMPILE = ("pip", "compile", "--generate-hashes", "--no-header", "--no-annotate")


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """The requirements of a model and the interpreter for them. `contents` is a digest of the local files they name."""

    wanted: ModelRequirements
    interpreter: Interpreter
    contents: str

    @property
    def digest(self) -> str:
        """A digest of all that decides on the lock, except the state of the package indexes."""
        pip = self.wanted.pip
        wheels = [sorted((each.name, each.stat().st_size) for each in _files_of(place)) for place in pip.wheelhouses]
        python = [self.interpreter.version, self.interpreter.platform, self.wanted.setuptools]
        asked = [pip.requirements, pip.constraints, pip.options, pip.arguments, pip.prereleases]
        return hashlib.sha256(json.dumps([FORMAT, python, asked, self.contents, wheels]).encode()).hexdigest()

    def arguments(self, python: str) -> list[str]:
        """uv's arguments for an install into, or a resolution for, that Python."""
        # pip takes the best version that any index has; uv by itself looks at the first index that has the name.
        strategy = ["--index-strategy", "unsafe-best-match"] if self.has_many_indexes else []
        # pip knows no `tool.uv.sources`, by which a folder of the model could name one elsewhere.
        return [*self.wanted.pip.arguments, *strategy, "--no-sources", "--python", python]

    @property
    def has_many_indexes(self) -> bool:
        """Whether the model names more indexes than one."""
        return any(option.startswith("--extra-index-url") for option in self.wanted.pip.options)


class PackageLocks:
    """Remembers locks and resolves new ones. Hashes that a model pins replace those of the index.

    uv is an argument of each call, as it sees the variables of one model.
    """

    def __init__(self, memory: LockMemory) -> None:
        self._memory = memory

    async def remembered(self, request: PackageRequest) -> str | None:
        """The lock that the same request resolved to before."""
        lock = await self._memory.lock_of(await asyncio.to_thread(_digest_of, request))
        return None if lock is None else _pinned(lock, request)

    async def resolve(self, uv: Uv, request: PackageRequest, log: Log) -> str:
        """A lock by the present state of the package indexes. It is remembered.

        Raises UvFailed, and BuildFailed with the list of conda packages that no index has or the hashes that cannot be.
        """
        log(f"Resolving {len(request.wanted.pip.requirements)} requirements for Python {request.interpreter.version}")
        setuptools = request.wanted.setuptools
        if setuptools is None and request.interpreter.minor in _HAD_SETUPTOOLS:
            setuptools = _USUAL_SETUPTOOLS
        try:
            lock = await _compile(uv, request, log, setuptools)
        except UvFailed as failed:
            if refusal(failed.lines) or network_failed(failed.lines):
                raise
            missing = missing_packages(failed.lines)
            names = missing or _named_in(failed.lines, request.wanted.pip.names)
            if refused := await _refused(uv, request, names, missing=bool(missing)):
                raise UvFailed([*refused, *failed.lines]) from None
            if missing & set(request.wanted.conda):
                refuse_conda_only([n for n in request.wanted.conda if await _is_missing(uv, request, n)])
            if missing != {"setuptools"}:
                raise
            log("The package index has no setuptools: left out")
            lock = await _compile(uv, request, log, None)
        if refused := await _refused(uv, request, request.wanted.pip.names, missing=False):
            log(f"warning: {refusal(refused)} What it has was not considered.")
        await self._memory.remember_lock(await asyncio.to_thread(_digest_of, request), lock)
        return _pinned(lock, request)


async def _compile(uv: Uv, request: PackageRequest, log: Log, setuptools: str | None) -> str:
    """The lock of the requirements with that setuptools, or with another where they contradict it."""
    pip = request.wanted.pip
    added = ["setuptools"] if setuptools else []
    earlier = [setuptools] if setuptools and "==" in setuptools else []  # uv keeps what it can of an earlier lock
    with files_with([*pip.options, *pip.requirements, *added], pip.constraints, earlier) as (asked, constraints, lock):
        arguments = [*request.arguments(request.interpreter.path), str(asked), "-o", str(lock)]
        arguments += ["-c", str(constraints)] if pip.constraints else []
        arguments += ["--prerelease", "allow"] if pip.prereleases else []
        await uv.run_or_offline([*_COMPILE, *arguments], log)
        return await asyncio.to_thread(lock.read_text)


async def _is_missing(uv: Uv, request: PackageRequest, name: str) -> bool:
    with files_with([*request.wanted.pip.options, name]) as (asked,):
        arguments = ("pip", "compile", "--no-deps", *request.arguments(request.interpreter.path), str(asked))
        try:
            await uv.run(arguments, lambda _: None)
        except UvFailed as failed:
            return name in missing_packages(failed.lines)
    return False


async def _refused(uv: Uv, request: PackageRequest, names: Collection[str], *, missing: bool) -> tuple[str, ...]:
    """uv's message when an index refuses the credentials for packages of these names; empty when none does.

    Where a model has several indexes, uv skips such an index silently, unless it asks one index after the other. Some
    indexes answer 403 for packages that they do not have, so a 403 counts only for packages that are `missing`.
    """
    if not request.has_many_indexes:
        return ()
    with files_with([*request.wanted.pip.options, *sorted(names)]) as (asked,):
        arguments = [*request.wanted.pip.arguments, "--python", request.interpreter.path, str(asked)]
        try:
            await uv.run(("pip", "compile", "--no-deps", "--index-strategy", "first-index", *arguments), lambda _: None)
        except UvFailed as failed:
            said = refusal(failed.lines)
            return failed.lines if said and (missing or "401" in said) else ()
    return ()


def _named_in(lines: Sequence[str], names: Collection[str]) -> set[str]:
    words = set(re.findall(r"[A-Za-z0-9._-]+", "\n".join(lines)))
    return {name for name in names if name in {canonicalize_name(word) for word in words}}


def unhashed(lock: str) -> list[str]:
    """The entries of a lock that have no hash: folders and repositories."""
    entries = lock.replace("\\\n", " ").splitlines()
    return [entry.strip() for entry in entries if entry.strip() and "--hash=" not in entry]


@contextmanager
def files_with(*contents: Iterable[str]) -> Iterator[list[Path]]:
    """Temporary files with these lines. Their folder is of mode 0700, as options may hold credentials.

    Raises BuildFailed for a line end or another control character in a line: uv would read what no check has seen.
    """
    contents = tuple(map(tuple, contents))
    if broken := next((line for lines in contents for line in lines if has_control(line)), None):
        raise BuildFailed(
            f"A line for uv has a line end or another control character: {broken[:120]!r}. Correct the model's "
            "requirements."
        )
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        paths = [Path(folder, f"{number}.txt") for number, _ in enumerate(contents)]
        for path, lines in zip(paths, contents, strict=True):
            path.write_text("".join(f"{line}\n" for line in lines))
        yield paths


def _pinned(lock: str, request: PackageRequest) -> str:
    pip = request.wanted.pip
    return with_pinned_hashes(lock, [*pip.requirements, *pip.constraints], request.interpreter.version)


def _digest_of(request: PackageRequest) -> str:
    return request.digest


def _files_of(place: Path) -> Iterable[Path]:
    return place.iterdir() if place.is_dir() else [place]
