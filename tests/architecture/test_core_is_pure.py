"""What `tidegate.core` drags in when it is imported, tried in an interpreter of its own.

import-linter reads the source; this sees what really happens, through whatever indirection.
"""

import json
import pkgutil
import subprocess
import sys

import pytest

import tidegate.core

PROBE = """
import importlib, json, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""
DOORS = {"asyncio", "logging", "multiprocessing", "selectors", "socket", "sqlite3", "ssl", "subprocess", "threading"}
MODULES = [module.name for module in pkgutil.walk_packages(tidegate.core.__path__, "tidegate.core.")]


def imported_by(module: str) -> set[str]:
    """The modules that importing `module` loads, beyond those of a bare interpreter."""
    run = subprocess.run([sys.executable, "-c", PROBE, module], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """What importing all of core loads."""
    return set().union(*(imported_by(module) for module in MODULES))


def test_core_loads_the_standard_library_only(loaded: set[str]) -> None:
    foreign = {name for name in loaded if name.partition(".")[0] not in {*sys.stdlib_module_names, "tidegate"}}
    assert foreign == set()


def test_core_opens_no_door_to_the_outside(loaded: set[str]) -> None:
    assert loaded & DOORS == set()


def test_core_loads_nothing_of_the_floors_above(loaded: set[str]) -> None:
    above = {name for name in loaded if name.startswith("tidegate") and name not in MODULES}
    assert above <= {"tidegate", "tidegate.core"}
