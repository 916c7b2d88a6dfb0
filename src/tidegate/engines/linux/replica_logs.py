"""The logs of replicas: one file per revision, to which all its replicas append.

A replica writes to the file itself, not through a pipe of the agent, so that it outlives the agent. Rotation therefore
copies the file and truncates it; the replicas go on at the new end. Lines written between the two steps are lost.
"""

import os
import shutil
import time
from pathlib import Path


def open_log(file: Path) -> int:
    """A descriptor that appends to the file. The caller closes it. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def note(file: Path, line: str) -> None:
    """Append a line of the agent, with the time. Raises OSError."""
    log = open_log(file)
    try:
        os.write(log, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} tidegate: {line}\n".encode())
    finally:
        os.close(log)


def rotate(folder: Path, max_bytes: int, keep: int) -> None:
    """Move the content of every log over `max_bytes` to `<name>.log.1`, and keep `keep` older files. Raises OSError."""
    for file in folder.glob("*.log"):
        if file.stat().st_size > max_bytes:
            _rotate(file, keep)


def _rotate(file: Path, keep: int) -> None:
    def older(number: int) -> Path:
        return file.with_name(f"{file.name}.{number}")

    for number in range(keep - 1, 0, -1):
        if older(number).exists():
            older(number).replace(older(number + 1))
    if keep > 0:
        shutil.copyfile(file, older(1))
        older(1).chmod(0o600)
    os.truncate(file, 0)
