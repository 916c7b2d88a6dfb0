"""An MLflow registry elsewhere, behind a door that can be slow or shut."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.registries import running_server

from bench.rollouts.proxy import Proxy


@dataclass(frozen=True)
class FarRegistry:
    """`uri` leads to it at any time, `through_the_door` as its clients are told."""

    uri: str
    door: Proxy

    @property
    def through_the_door(self) -> str:
        """For the platform."""
        return f"http://127.0.0.1:{self.door.port}"


@contextlib.contextmanager
def far_registry() -> Iterator[FarRegistry]:
    """A server for the length of a `with`, with nothing in it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as uri,
        Proxy(int(uri.rpartition(":")[2])) as door,
    ):
        yield FarRegistry(uri, door)
