"""The end of a log, for whoever asks what was printed last."""

from pathlib import Path

MAX_LOG_BYTES = 1024 * 1024


def tail(path: Path) -> str:
    """The last MAX_LOG_BYTES of a log, from a line's beginning; empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_LOG_BYTES))
            if size > MAX_LOG_BYTES:
                file.readline()
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
