"""The agent as a process of its own, for tests: `python agent_process.py DATA_DIR SETTINGS_JSON [LIFE_LINE_FD]`.

The environment variable DEFECTS names functions, `module:name` or `module:Class.name`, that raise when they are called
for the first time.
"""

import asyncio
import functools
import importlib
import json
import os
import sys
from pathlib import Path

from tidegate.data_directory import DataDirectory
from tidegate.engines.agent.agent_process import run
from tidegate.settings import EngineSettings, HousekeepingSettings


def plant(place: str) -> None:
    """Have the function raise at its first call."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    sound = getattr(owner, name)

    def unsound(*_: object, **__: object) -> None:
        setattr(owner, name, sound)
        raise LookupError(f"planted in {place}")

    setattr(owner, name, unsound)


if __name__ == "__main__":
    for place in os.environ.pop("DEFECTS", "").split():
        plant(place)
    life_line = int(sys.argv[3]) if len(sys.argv) > 3 else None
    settings = EngineSettings(**json.loads(sys.argv[2]))
    asyncio.run(run(DataDirectory(Path(sys.argv[1])), settings, HousekeepingSettings(), os.environ, life_line))
