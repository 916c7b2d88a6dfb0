"""Unix sockets that only this user can connect to."""

import socket
from pathlib import Path


def bind(path: Path) -> socket.socket:
    """A socket bound to `path`, in a dead predecessor's place. Nobody can connect before it listens. Raises OSError."""
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(str(path))
        path.chmod(0o600)
    except BaseException:
        bound.close()
        raise
    return bound


def reserve(path: Path) -> None:
    """Leave a dead socket at `path`. uvicorn replaces it with its own and keeps its mode; without one, that is 0666.

    Raises OSError.
    """
    bind(path).close()
