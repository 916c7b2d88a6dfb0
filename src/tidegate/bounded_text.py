"""Reads a text file of a model, up to a bound. Apart from `model_files`: the agent needs no YAML."""

from pathlib import Path

from tidegate.core.errors import BuildFailed

MAX_TEXT_BYTES = 16 * 2**20  # of a model's file; a signature of 20,000 columns has some MB


def text_of(path: Path, most: int = MAX_TEXT_BYTES, errors: str = "strict") -> str:
    """The text of a regular file. Raises BuildFailed where it has more bytes than `most`, and UnicodeDecodeError."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        size = f"{most // 2**20} MiB" if most >= 2**20 else f"{most // 2**10} KiB"
        raise BuildFailed(f"The model's file '{path.name}' has more than {size}. Log the model again.")
    return content.decode("utf-8-sig", errors)
