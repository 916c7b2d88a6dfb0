"""The end of a log file."""

from pathlib import Path

MAX_LOG_BYTES = 1024 * 1024


def tail(path: Path) -> str:
    """The last MAX_LOG_BYTES bytes of a log, from the beginning of a line; empty where there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_LOG_BYTES))
            if size > MAX_LOG_BYTES:
                file.readline()
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
