"""The source of the worker's package that belongs to this Tidegate, and its copies in overlays."""

import hashlib
import importlib.util
import json
import logging
import shutil
from pathlib import Path

from tidegate.adapters.environments.marker import MARKER, mark
from tidegate.telemetry import fields

WORKER = "tidegate_worker"

logger = logging.getLogger(__name__)


def source() -> Path:
    """The folder of the worker's package, found without an import of it."""
    spec = importlib.util.find_spec(WORKER)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def digest(package: Path) -> str:
    """A digest of the source files of a package, which does not depend on its path."""
    content = {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*.py")}
    return hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()


def copy(package: Path, target: Path) -> None:
    """Copy a package without its bytecode. Raises OSError."""
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))


def renew(folder: Path) -> int:
    """Give every whole overlay below `folder` the present worker, and return how many had another.

    A revision keeps its overlay for its whole life, also beyond an upgrade of Tidegate. Nothing may run from the
    overlays meanwhile. An overlay that fails is logged; the next call tries it again, and continues a call that was cut
    short. The accelerators stay as they are. The first replica writes the bytecode.
    """
    package, renewed = source(), 0
    try:
        present = digest(package)
    except OSError as error:
        logger.warning("overlays keep the workers that they have", extra=fields(error=error))
        return 0
    for marker in sorted(folder.glob(f"[!.]*/{MARKER}")):
        try:
            # The digest of the worker's source, and the rest of the overlay's identity.
            made_from = json.loads(marker.read_text())
            if made_from[0] != present or not (marker.parent / WORKER).is_dir():
                _replace(package, marker.parent)
                mark(marker.parent, json.dumps([present, *made_from[1:]]))  # last: what is cut short is done again
                renewed += 1
        except (OSError, ValueError, LookupError, TypeError) as error:
            logger.warning(
                "an overlay keeps the worker that it has", extra=fields(overlay=marker.parent.name, error=error)
            )
    return renewed


def _replace(package: Path, overlay: Path) -> None:
    """Put the package in the place of the overlay's worker. Raises OSError."""
    worker, new, old = (overlay / f"{WORKER}{suffix}" for suffix in ("", ".new", ".old"))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    copy(package, new)
    if worker.exists():
        worker.rename(old)
    new.rename(worker)
    shutil.rmtree(old, ignore_errors=True)
