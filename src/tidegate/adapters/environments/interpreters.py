"""Python interpreters: finds those of this machine, chooses one for a model, and fetches one where none fits.

Scripts on the PATH are left out: pyenv's shims print warnings, or run another version than their name says.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from tidegate.adapters.environments.uv import Uv, UvFailed
from tidegate.adapters.environments.uv_failures import explain
from tidegate.core.errors import BuildFailed
from tidegate.ports import Log

OLDEST = Version("3.8")  # what the worker runs on
_PATIENCE_SECONDS = 10.0  # for an interpreter to tell its version
_QUESTION = """
import json, platform, sys, sysconfig
print(json.dumps({
    "version": platform.python_version(),
    "platform": "-".join(filter(None, (sysconfig.get_platform(), platform.libc_ver()[0]))),
    "usable": platform.python_implementation() == "CPython" and sys.prefix == sys.base_prefix
              and not sysconfig.get_config_var("Py_GIL_DISABLED"),
}))
"""
_INSTALL = ("python", "install", "--no-bin", "--install-dir")
_NAME = re.compile(r"python3(\.\d+)?")
_LONGEST_VERSION = 100  # characters; each clause of a specifier is compared with each interpreter
_EXACT = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython on this machine. `platform` is its operating system, machine and C library."""

    path: str
    version: str
    platform: str

    @property
    def minor(self) -> str:
        """`3.10`."""
        return ".".join(self.version.split(".")[:2])


def choose(wanted: str, found: Iterable[Interpreter], recorded: str = "") -> Interpreter | None:
    """The interpreter for `wanted`, a version or a specifier, of a model that was logged under `recorded`.

    The order of choice: the wanted version itself, the recorded one, the newest patch of the recorded minor version,
    the newest interpreter that `wanted` allows. A version allows every patch of its minor version, as packages and
    pickled code are made for a minor version. None when `wanted` allows no interpreter of `found`.
    """
    will_do = _specifier(wanted)
    fitting = [each for each in found if will_do.contains(each.version, prereleases=True)]
    best = (
        [each for each in fitting if each.version == wanted.removeprefix("==")]
        or [each for each in fitting if each.version == recorded]
        or [each for each in fitting if recorded.startswith(f"{each.minor}.")]
        or fitting
    )
    return max(best, key=lambda each: Version(each.version), default=None)


def prefer_recorded(wanted: str, recorded: str) -> str:
    """The version to look for first: the recorded one where `wanted` allows it and others too, else `wanted`.

    Raises BuildFailed when `wanted` is neither a version nor a specifier.
    """
    if (
        len(recorded) > _LONGEST_VERSION
        or not _EXACT.fullmatch(recorded)
        or _EXACT.fullmatch(wanted.removeprefix("=="))
    ):
        return wanted
    return recorded if _specifier(wanted).contains(recorded, prereleases=True) else wanted


def _specifier(wanted: str) -> SpecifierSet:
    """The versions that `wanted` allows. Raises BuildFailed when it is neither a version nor a specifier."""
    if len(wanted) > _LONGEST_VERSION:
        raise BuildFailed(
            f"The model asks for Python '{wanted[:_LONGEST_VERSION]}…', which is longer than {_LONGEST_VERSION} "
            "characters. Log it again."
        )
    version = re.fullmatch(r"(?:==)?(\d+(?:\.\d+)?)(?:\.\S*)?", wanted)
    try:
        specifier = SpecifierSet(f"=={version[1]}.*" if version else wanted)
    except InvalidSpecifier:
        raise BuildFailed(f"The model asks for Python '{wanted}', which is not a version. Log it again.") from None
    if version and "." in version[1] and Version(version[1]) < OLDEST:
        raise BuildFailed(
            f"The model asks for Python {wanted}; models run on Python {OLDEST} and newer. Log it under a newer Python."
        )
    return specifier & SpecifierSet(f">={OLDEST}")


class Interpreters:
    """Finds interpreters in the search directories, in what uv fetched, in pyenv's versions and on the PATH."""

    def __init__(self, uv: Uv, owned: Path, search: Iterable[str], environ: Mapping[str, str]) -> None:
        self._uv = uv.seeing({"UV_HTTP_RETRIES": "1"})  # without a network, say so soon
        self._owned = owned  # where missing ones are fetched to
        self._folders = [*map(Path, search), owned, *_usual_folders(environ)]
        self._known: dict[tuple[str, int], Interpreter | None] = {}

    async def obtain(self, wanted: str, log: Log, *, may_fetch: bool, recorded: str = "") -> Interpreter:
        """An interpreter for `wanted`; empty means the version that Tidegate itself runs on.

        `recorded` is the version that the model was logged under: it is taken, and fetched, before others that
        `wanted` allows. Raises BuildFailed naming the version wanted and those found.
        """
        wanted = wanted or ".".join(map(str, sys.version_info[:3]))
        found = await self.found()
        chosen, first = choose(wanted, found, recorded), prefer_recorded(wanted, recorded)
        if chosen is None or (first != wanted and not first.startswith(f"{chosen.minor}.")):
            try:
                chosen = await self._fetch(first, found, log, may_fetch=may_fetch)
            except BuildFailed as failed:
                if chosen is None:
                    raise
                log(f"{failed.message} The model's files allow {wanted}, so Python {chosen.version} is taken.")
        note = "" if f"{chosen.version}.".startswith(f"{wanted}.") else f" (the model asks for {wanted})"
        log(f"Python {chosen.version}{note}: {chosen.path}")
        return chosen

    async def found(self) -> list[Interpreter]:
        """All usable interpreters, oldest first. Each is run once, and again only when its file has changed."""
        paths = await asyncio.to_thread(_executables, self._folders)
        limit = asyncio.Semaphore(os.cpu_count() or 1)
        answers = await asyncio.gather(*(self._ask(path, limit) for path in paths))
        return sorted(filter(None, answers), key=lambda each: Version(each.version))

    async def _ask(self, path: str, limit: asyncio.Semaphore) -> Interpreter | None:
        try:
            key = (path, os.stat(path).st_mtime_ns)  # noqa: PTH116  the PATH's own strings
        except OSError:
            return None
        if key not in self._known:
            async with limit:
                self._known[key] = await _ask(path)
        return self._known[key]

    async def _fetch(self, wanted: str, found: list[Interpreter], log: Log, *, may_fetch: bool) -> Interpreter:
        cause = "fetching one is switched off (environments.allow_python_downloads)"
        if may_fetch:
            log(f"Python {wanted} is not on this machine: fetching it")
            # Many patch versions are not offered. The newest one of a minor version is, while Python supports it.
            for version in dict.fromkeys((wanted, re.sub(r"^(\d+\.\d+)\.\S*$", r"\1", wanted))):
                try:
                    await self._uv.run([*_INSTALL, str(self._owned), version], log)
                except UvFailed as failed:
                    cause = f"fetching it failed: {explain(failed.lines).partition('. ')[0]}"
                    if "No download found" in str(failed):
                        continue
                    break
                chosen = choose(wanted, await self.found())
                if chosen is not None:
                    return chosen
        versions = ", ".join(dict.fromkeys(each.version for each in found)) or "none"
        raise BuildFailed(
            f"The model asks for Python {wanted}. Found on this machine: {versions}; {cause.rstrip('.')}. "
            f"Install Python {wanted} (for example with pyenv), or log the model under a version that is here."
        )


async def _ask(path: str) -> Interpreter | None:
    """The interpreter at a path, or None when it does not run or cannot be the base of an environment."""
    process = await asyncio.create_subprocess_exec(
        *(path, "-I", "-c", _QUESTION),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            output, _ = await process.communicate()
        answer = json.loads(output)
    except (TimeoutError, ValueError):
        return None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return Interpreter(path, answer["version"], answer["platform"]) if answer["usable"] else None


def _usual_folders(environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("HOME") or Path.home())
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv")
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    uv = Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    on_path = [Path(each) for each in environ.get("PATH", os.defpath).split(os.pathsep) if each]
    return [pyenv / "versions", uv, *on_path]


def _executables(folders: Iterable[Path]) -> list[str]:
    """The interpreters in and up to two levels below `folders`, and this one's; links followed, no scripts."""
    paths = {os.path.realpath(sys.executable)}
    for folder in folders:
        for place in (folder, folder / "bin", *_versions(folder)):
            with suppress(OSError):
                paths |= {str(each.resolve()) for each in place.iterdir() if _NAME.fullmatch(each.name)}
    return sorted(path for path in paths if os.access(path, os.X_OK) and not _is_script(path))


def _versions(folder: Path) -> list[Path]:
    """`folder/3.10.13/bin` and the like; not for the large folders of the PATH, which hold no versions."""
    if folder.name == "bin":
        return []
    with suppress(OSError):
        return [each / "bin" for each in folder.iterdir() if (each / "bin").is_dir()]
    return []


def _is_script(path: str) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(2) == b"#!"
    except OSError:
        return True
