"""Bytecode of packages, which environments share as they share the source files.

uv hard-links a package's files from its cache, so one version of a package is one file in every environment. Its
bytecode is linked likewise: compiling takes most of a build's time (15 of 17 seconds for scikit-learn on two cores).
Python compares a source file's size and time with its bytecode at import, so a wrong link costs time and nothing else.
"""

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

_SOURCE, _FOLDER = ".py", "__pycache__"


class Bytecode:
    """A store of bytecode by source file. Its methods wait for the disk. A file system without links shares nothing."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def link(self, environment: Path, minor: str) -> int:
        """Link the known bytecode into an environment; returns how many of its source files have none.

        `minor` is the version of its Python, such as `3.11`.
        """
        tag = _tag(minor)
        return sum(not self._linked(source, status, tag) for source, status in _sources(_packages(environment, minor)))

    def keep(self, environment: Path, minor: str) -> None:
        """Remember the bytecode of an environment's packages, and forget bytecode that no environment uses."""
        tag = _tag(minor)
        self._keep(_packages(environment, minor), tag)
        for kept in (self._store / tag).glob("*/*"):
            if kept.stat().st_nlink == 1:
                kept.unlink()

    def _linked(self, source: Path, status: os.stat_result, tag: str) -> bool:
        target = _compiled(source, tag)
        with suppress(OSError):
            target.parent.mkdir(exist_ok=True)
        return any(_link(place, target) for place in (self._place(status, tag), _own(tag).get(_name(status))) if place)

    def _keep(self, packages: Path, tag: str) -> None:
        for source, status in _sources(packages):
            place = self._place(status, tag)
            with suppress(OSError):
                place.parent.mkdir(parents=True, exist_ok=True)
            _link(_compiled(source, tag), place)

    def _place(self, status: os.stat_result, tag: str) -> Path:
        name = _name(status)
        return self._store / tag / name[-2:] / name


def _name(status: os.stat_result) -> str:
    """The name of a source file in the store. It identifies the file, whatever its path."""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def _link(existing: Path, new: Path) -> bool:
    try:
        os.link(existing, new)
    except FileExistsError:
        return True
    except OSError:  # not there, or on another file system
        return False
    return True


@cache
def _own(tag: str) -> Mapping[str, Path]:
    """Bytecode of the packages that Tidegate itself runs on: their installation compiled the same cached files."""
    if tag != sys.implementation.cache_tag:
        return {}
    sources = _sources(Path(sysconfig.get_path("purelib")))
    return {_name(status): _compiled(source, tag) for source, status in sources}


def _tag(minor: str) -> str:
    return f"cpython-{minor.replace('.', '')}"


def _packages(environment: Path, minor: str) -> Path:
    return environment / "lib" / f"python{minor}" / "site-packages"


def _compiled(source: Path, tag: str) -> Path:
    return source.parent / _FOLDER / f"{source.stem}.{tag}.pyc"


def _sources(packages: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The source files that have more than one link, each with its status."""
    for folder, folders, names in os.walk(packages):
        if _FOLDER in folders:
            folders.remove(_FOLDER)
        for name in names:
            if name.endswith(_SOURCE):
                source = Path(folder, name)
                status = source.stat()
                if status.st_nlink > 1:
                    yield source, status
