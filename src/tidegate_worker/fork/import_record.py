"""The import record of an environment: the modules that its models have imported, in order. Its template imports them.

The record has modules of the environment and the standard library only. A model's own code changes with its version.
"""

import json
import os
import sys
import sysconfig
from contextlib import suppress
from typing import Iterator, List, Tuple

import tidegate_worker
from tidegate_worker.process.log import log

_FOLDERS = ("stdlib", "platstdlib", "purelib", "platlib")


def record(file: str, model_dir: str) -> None:
    """Add the modules that are imported now to the record. A file that cannot be written is only logged."""
    known = read(file)
    new = [name for name in imported_names(model_dir) if name not in set(known)]
    if not file or not new:
        return
    draft = f"{file}.{os.getpid()}"
    try:
        with open(draft, "w", encoding="utf-8") as opened:  # noqa: PTH123
            json.dump([*known, *new], opened)
        os.replace(draft, file)  # noqa: PTH105
    except OSError as error:
        log(f"the import record could not be written: {error.strerror}")


def read(file: str) -> List[str]:
    """The names on record; empty if there is no record that can be read."""
    with suppress(OSError, ValueError), open(file, encoding="utf-8") as opened:  # noqa: PTH123
        names = json.load(opened)
        if isinstance(names, list):
            return [name for name in names if isinstance(name, str)]
    return []


def imported_names(model_dir: str) -> Iterator[str]:
    """The imported modules of the environment and the standard library, in the order of their import."""
    recorded_folders, model_folder = roots(), _prefixes(model_dir)
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__dict__", {}).get("__spec__")
        origin = getattr(spec, "origin", None)
        if not isinstance(origin, str) or getattr(spec, "name", None) != name:
            continue  # it is built in, a namespace package, or a second name of another module
        if name != "__main__" and origin.startswith(recorded_folders) and not origin.startswith(model_folder):
            yield name


def roots() -> Tuple[str, ...]:
    """The folders of the standard library, the environment's packages, and the overlay (worker and accelerators)."""
    paths = sysconfig.get_paths()
    overlay = os.path.dirname(os.path.dirname(os.path.abspath(tidegate_worker.__file__)))  # noqa: PTH100, PTH120
    return tuple({prefix for path in (*(paths[name] for name in _FOLDERS), overlay) for prefix in _prefixes(path)})


def _prefixes(folder: str) -> Tuple[str, ...]:
    """How the paths of files below a folder begin."""
    return (os.path.join(folder, ""), os.path.join(os.path.realpath(folder), ""))  # noqa: PTH118
