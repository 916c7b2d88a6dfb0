"""The file, written last, that says that a directory is whole."""

from pathlib import Path

from tidegate.atomic_write import write_atomically

MARKER = ".tidegate-ready"


def mark(directory: Path, text: str) -> None:
    """Write it whole, with what the directory was made from. Raises OSError."""
    write_atomically(directory / MARKER, text)
