"""The import record: what the models of an environment have imported, in order, for its template to import beforehand.

Only modules of the environment and the standard library: a model's own code is another at its next version.
"""

import json
import os
import sys
import sysconfig
from contextlib import suppress
from typing import Iterator, List, Tuple

from tidegate_worker.process.log import log

_FOLDERS = ("stdlib", "platstdlib", "purelib", "platlib")


def record(file: str, model_dir: str) -> None:
    """Add to the record what is imported now, unless all of it is there. What cannot be written is only logged."""
    known = read(file)
    fresh = [name for name in seen(model_dir) if name not in set(known)]
    if not file or not fresh:
        return
    draft = f"{file}.{os.getpid()}"
    try:
        with open(draft, "w", encoding="utf-8") as opened:  # noqa: PTH123
            json.dump([*known, *fresh], opened)
        os.replace(draft, file)  # noqa: PTH105
    except OSError as error:
        log(f"the imports cannot be recorded: {error.strerror}")


def read(file: str) -> List[str]:
    """What is on record; nothing when there is no record that can be read."""
    with suppress(OSError, ValueError), open(file, encoding="utf-8") as opened:  # noqa: PTH123
        found = json.load(opened)
        if isinstance(found, list):
            return [name for name in found if isinstance(name, str)]
    return []


def seen(model_dir: str) -> Iterator[str]:
    """The names of the modules that are imported, those of the environment and the standard library, in order."""
    ours, own = roots(), _below(model_dir)
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__dict__", {}).get("__spec__")
        origin = getattr(spec, "origin", None)
        if not isinstance(origin, str) or getattr(spec, "name", None) != name:
            continue  # built in, a namespace, or another name for a module that has its own
        if name != "__main__" and origin.startswith(ours) and not origin.startswith(own):
            yield name


def roots() -> Tuple[str, ...]:
    """The folders of the standard library, the environment's packages and the worker's own."""
    paths = sysconfig.get_paths()
    # The last of sys.path is the worker's own folder, unless a model has put its code behind it.
    worker = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    return tuple({end for path in (*(paths[name] for name in _FOLDERS), worker) for end in _below(path)})


def _below(folder: str) -> Tuple[str, ...]:
    """What the names of files below a folder begin with."""
    return (os.path.join(folder, ""), os.path.join(os.path.realpath(folder), ""))  # noqa: PTH118
