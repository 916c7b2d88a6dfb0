"""The lock of a data directory, which only one platform uses at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from tidegate.core.errors import ConfigurationError
from tidegate.data_directory import DataDirectory


@contextlib.contextmanager
def claim(data: DataDirectory) -> Iterator[None]:
    """Create the data directory and hold its lock. The kernel releases the lock however this process ends.

    Raises ConfigurationError when the directory cannot be created or written, or another platform uses it.
    """
    try:
        data.create()
        # Python sets close-on-exec, so that a child which outlives this process does not keep the lock.
        lock = os.open(data.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(data, error) from None
    try:
        _lock(data, lock)
        yield
    finally:
        os.close(lock)


def _lock(data: DataDirectory, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    except BlockingIOError:
        holder = os.read(lock, 32).decode() or "unknown"
        raise ConfigurationError(
            f"The data directory {data.root} is in use by another Tidegate (process {holder}). "
            "End that one, or choose another directory with --data-dir."
        ) from None
    except OSError as error:
        raise _unusable(data, error) from None


def _unusable(data: DataDirectory, error: OSError) -> ConfigurationError:
    where = f" ({error.filename})" if error.filename and str(error.filename) != str(data.root) else ""
    return ConfigurationError(
        f"The data directory {data.root} cannot be used: {error.strerror}{where}. "
        "Mend that, or choose another directory with --data-dir."
    )
