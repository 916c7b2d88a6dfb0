"""Writes a file whole or not at all: readers see the old content or the new one, whenever the writer is interrupted.

The content goes into a draft beside the file, which is then renamed. A path has one writer at a time.
"""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes | str, *, mode: int = 0o600, durable: bool = False) -> None:
    """Put `content` (text as UTF-8) in place of the file at `path`, with these permission bits from its first byte.

    `durable` waits for the disk, some milliseconds: the file then survives a loss of power too. Raises OSError; the
    old file and no draft is then left. A killed writer leaves its draft, which the next write replaces.
    """
    draft = draft_of(path)
    draft.unlink(missing_ok=True)  # a draft that is left over may have another mode, or be a link
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def draft_of(path: Path) -> Path:
    """Where the content of `path` is written before it is renamed."""
    return path.with_name(f"{path.name}.new")


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
