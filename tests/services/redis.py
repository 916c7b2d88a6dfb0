"""A Redis server."""

import contextlib
from collections.abc import Iterator

from tests.services.process import Program, folder, listens, running
from tests.services.programs import REDIS


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """An empty Redis server that keeps nothing on disk; its URL."""
    with folder() as home:
        socket = home / "redis.sock"
        words = [
            REDIS.program("redis-server"), "--port", "0", "--unixsocket", str(socket), "--dir", str(home), "--save", "",
        ]  # fmt: skip
        with running(Program(words), home / "log", lambda: listens(socket)):
            yield f"unix://{socket}"
