"""The file, written last, that says that a directory is whole."""

from pathlib import Path

MARKER = ".tidegate-ready"


def mark(directory: Path, text: str) -> None:
    """Write it whole, with what the directory was made from. Raises OSError."""
    draft = directory / f"{MARKER}.draft"
    draft.write_text(text)
    draft.replace(directory / MARKER)
