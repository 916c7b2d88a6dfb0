"""Puts the hashes that a model's requirements pin by `--hash` into its lock, in the place of those of the index.

Format: https://pip.pypa.io/en/stable/topics/secure-installs/. What a lock pins is checked when it is installed.
"""

import re
from collections.abc import Iterable

from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName

from tidegate.adapters.requirements.pip_requirements import name_of
from tidegate.core.errors import BuildFailed

_HASH = re.compile(r"\s+--hash(?:=|\s+)")


def with_pinned_hashes(lock: str, requirements: Iterable[str], python: str) -> str:
    """The lock for the Python version `python`, such as `3.10.13`, with the hashes that requirements pin.

    Raises BuildFailed for a package whose pins exclude each other, and for a folder or repository: it has no hash.
    """
    pins = _pins(requirements, python)
    if not pins:
        return lock
    entries = lock.replace("\\\n", " ").splitlines()
    return "".join(f"{_pinned(entry.strip(), pins)}\n" for entry in entries if entry.strip())


def _pins(requirements: Iterable[str], python: str) -> dict[str, set[str]]:
    """Hashes by package. A hash must be in every line on the package, as in pip's constraints."""
    pins: dict[str, set[str]] = {}
    for line in requirements:
        text, *hashes = _HASH.split(line)
        if hashes and _applies(text, python):
            name = name_of(text)
            allowed = {each.strip() for each in hashes}
            pins[name] = pins.get(name, allowed) & allowed
            if not pins[name]:
                raise BuildFailed(
                    f"The model's requirements pin hashes of {name} that exclude each other. Correct them."
                )
    return pins


def _pinned(entry: str, pins: dict[str, set[str]]) -> str:
    text, *known = _HASH.split(entry)
    allowed = pins.get(name_of(text))
    if allowed is None:
        return entry
    if not known:
        raise BuildFailed(
            f"The model's requirements pin a hash of {name_of(text)}, but a folder or repository has none. "
            "Log the model with a wheel instead, or take the hash out."
        )
    return " ".join([text, *(f"--hash={each}" for each in sorted(allowed))])


def _applies(text: str, python: str) -> bool:
    """Whether the requirement's marker, if it has one, holds for that Python on this machine."""
    marker = re.search(r"\s;\s*(.+)" if "://" in text else r";\s*(.+)", text)
    if marker is None:
        return True
    try:
        minor = ".".join(python.split(".")[:2])
        return Marker(marker[1]).evaluate({"python_version": minor, "python_full_version": python})
    except (InvalidMarker, UndefinedEnvironmentName):
        return True  # uv says what is wrong with it
