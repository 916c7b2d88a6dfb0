"""Modules that import each other, and names that lead to the wrong room."""

import ast
from collections import defaultdict
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
# A name here may occur in several rooms: a verb of the command line is called as what it shows, in each face.
SHARED_NAMES = {"__init__", "__main__", "app", "env"}


def name_of(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in SOURCE.rglob("*.py")}


def imported(module: str) -> set[str]:
    """The modules of ours that a module imports, within functions and for types only too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= parts & MODULES.keys() or {str(node.module)} & MODULES.keys()
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & MODULES.keys()
    return found - {module}


def circle(graph: dict[str, set[str]]) -> set[str]:
    """The modules that are left when whatever imports nothing that is left has been taken away, from either end."""
    left = dict(graph)
    while True:
        used = set().union(*left.values()) if left else set()
        loose = {module for module, targets in left.items() if not targets & left.keys() or module not in used}
        if not loose:
            return set(left)
        left = {module: targets for module, targets in left.items() if module not in loose}


def test_a_circle_would_be_found() -> None:
    assert circle({"top": {"a"}, "a": {"b"}, "b": {"a", "low"}, "low": set()}) == {"a", "b"}


def test_no_modules_import_each_other() -> None:
    assert circle({module: imported(module) for module in MODULES}) == set()


def test_no_name_leads_to_two_rooms() -> None:
    places = defaultdict(set)
    for module in MODULES:
        places[module.rpartition(".")[2]].add(module)
    commands = {module for module in MODULES if module.startswith("tidegate.cli.commands.")}
    doubles = {
        name: sorted(found)
        for name, found in places.items()
        if name not in SHARED_NAMES and len([module for module in found if MODULES[module].stem == name]) > 1
        if len(found - commands) > 1
    }
    assert doubles == {}
