"""The marker: a file that is written last, so a directory that has it is complete."""

from pathlib import Path

from tidegate.atomic_write import write_atomically

MARKER = ".tidegate-ready"


def mark(directory: Path, text: str) -> None:
    """Write the marker in one step; `text` says what the directory was made from. Raises OSError."""
    write_atomically(directory / MARKER, text)
