"""Scratch directories: the working directories of replicas and templates, for their temporary files."""

import contextlib
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from tidegate.core.errors import Unavailable
from tidegate.telemetry import fields

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{8}")


def new_name() -> str:
    """An unused name."""
    return secrets.token_hex(4)


class Scratch:
    """The directories below `folder`, each named by a replica's id or by `new_name`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def made(self, name: str) -> Iterator[Path]:
        """Make a directory for this user alone. It is removed again if the block raises. Raises Unavailable."""
        path = self._folder / name
        try:
            self._folder.mkdir(exist_ok=True, mode=0o700)
            path.mkdir(mode=0o700)
        except OSError as error:
            raise Unavailable(
                f"A scratch directory cannot be made below {self._folder}: {error.strerror}. "
                "Free some space, or see to the disk."
            ) from None
        try:
            yield path
        except BaseException:
            self.remove(name)
            raise

    def names(self) -> list[str]:
        """The names of all directories. Raises OSError."""
        if not self._folder.exists():
            return []
        return [path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name)]

    def remove(self, name: str) -> None:
        """Remove a directory with its content. A failure is logged; the next agent tries again."""
        path = self._folder / name
        try:
            if path.is_symlink():  # made by the model: the link goes, and what it leads to stays
                path.unlink()
                return
            try:
                shutil.rmtree(path)
            except PermissionError:  # in a folder whose mode forbids its owner to write
                _open_up(path)
                shutil.rmtree(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            _log.warning("a scratch directory is left behind", extra=fields(scratch=name, error=error))


def _open_up(path: Path) -> None:
    path.chmod(0o700)
    for folder, inner, _ in os.walk(path):
        for below in (Path(folder, name) for name in inner):
            if not below.is_symlink():
                below.chmod(0o700)  # before the walk enters it
