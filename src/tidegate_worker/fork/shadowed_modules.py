"""Modules of a template that shadow a model's own module (`code_paths`) of the same name.

A spawned replica imports the model's module, unless MLflow has imported the other one before. A fork must do the same,
so the template's module is removed before the model is loaded. It cannot be removed where another module uses something
of it, or where it has compiled parts: these load only once in a process. Then the replica cannot be forked.
"""

import os
import re
import sys
from importlib.machinery import EXTENSION_SUFFIXES, all_suffixes
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import AbstractSet, Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

_CODE = re.compile(r"^ +code: *(\S.*)$", re.MULTILINE)
_SIMPLE_NAME = re.compile(r"[\w./-]+")  # a folder's name that needs no YAML parser
# A module that has the same constant under the same name may have imported it; the same mutable object it has imported.
_CONSTANTS = (int, float, str, bytes, tuple)
_MUTABLES = (list, dict, set)


Mentions = Callable[[str, str], bool]


class Shadowed(Exception):
    """The model cannot be loaded in this fork; the sentence says why."""


class Decision(NamedTuple):
    """The modules to remove. `refused` says why the replica cannot be forked, and is empty if it can."""

    remove: Tuple[str, ...]
    refused: str = ""


def remove(model_dir: str, early: AbstractSet[str]) -> None:
    """Remove the modules that shadow the model's own from this process. Raises Shadowed.

    `early` are the modules that a spawned replica, too, has imported before it knows the model's folder.
    """
    folder = code_folder(model_dir)
    if not folder:
        return
    decision = decide(provided(folder), sys.modules, early, _mentions)
    if decision.refused:
        raise Shadowed(decision.refused)
    for name in decision.remove:
        parent, _, child = name.rpartition(".")
        del sys.modules[name]
        if parent in sys.modules:
            vars(sys.modules[parent]).pop(child, None)


def code_folder(model_dir: str) -> str:
    """The folder of the model's own code; empty if there is none, or if the MLmodel file cannot be read."""
    try:
        with open(os.path.join(model_dir, "MLmodel"), encoding="utf-8") as opened:  # noqa: PTH118, PTH123
            text = opened.read()
    except (OSError, ValueError):
        return ""
    folders = {name.strip() for name in _CODE.findall(text)} - {"null", "~"}
    if not folders:
        return ""
    if len(folders) == 1 and _SIMPLE_NAME.fullmatch(*folders):
        return os.path.join(model_dir, *folders)  # noqa: PTH118
    import yaml

    try:
        quick = hasattr(yaml, "CSafeLoader")
        document = yaml.load(text, Loader=yaml.CSafeLoader) if quick else yaml.safe_load(text)
        code = document["flavors"]["python_function"].get("code")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):  # loading the model fails with a better sentence
        return ""
    return os.path.join(model_dir, code) if isinstance(code, str) and code else ""  # noqa: PTH118


def provided(folder: str, within: str = "") -> Iterator[str]:
    """The names of the modules and packages in a folder; for a namespace package, those within it."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        suffix = next((end for end in all_suffixes() if entry.name.endswith(end)), "")
        if entry.is_dir():
            if entry.name.isidentifier() and _is_package(entry.path):
                yield within + entry.name
            elif entry.name.isidentifier() and entry.name != "__pycache__":
                yield from provided(entry.path, f"{within}{entry.name}.")
        elif suffix and entry.name.partition(".")[0].isidentifier():
            yield within + entry.name.partition(".")[0]


def _is_package(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, "__init__" + end)) for end in all_suffixes())  # noqa: PTH110, PTH118


def decide(names: Iterable[str], modules: Mapping[str, Any], early: AbstractSet[str], mentions: Mentions) -> Decision:
    """What to do about the names that a model brings, among these modules. See `remove`.

    `mentions` says whether the source in a file has a word; True where it cannot be read.
    """
    removed: List[str] = []
    for name in names:
        if name not in modules or name in early or _is_builtin(modules[name]) or not _reachable(name, modules):
            continue
        tree = [other for other in modules if other == name or other.startswith(name + ".")]
        if compiled := next(
            (other for other in tree if _origin(modules[other]).endswith(tuple(EXTENSION_SUFFIXES))), ""
        ):
            return Decision(
                (), f"The model brings a module {name}, of which the template has compiled parts ({compiled})."
            )
        if user := _user_outside(tree, modules, mentions):
            return Decision(
                (), f"The model brings a module {name}, which {user} in the template has imported from elsewhere."
            )
        removed += tree
    return Decision(tuple(removed))


def _is_builtin(module: Any) -> bool:
    """Whether the module is a part of the interpreter: no folder can replace it."""
    return _origin(module) in ("built-in", "frozen")


def _reachable(name: str, modules: Mapping[str, Any]) -> bool:
    """Whether the model's module can be imported: its parents are namespaces, and no package that hides the model's."""
    parts = name.split(".")
    parents = [modules.get(".".join(parts[:count])) for count in range(1, len(parts))]
    return all(module is None or not _origin(module) for module in parents)


def _origin(module: Any) -> str:
    spec = _namespace(module).get("__spec__")
    return str(getattr(spec, "origin", None) or _namespace(module).get("__file__") or "")


def _namespace(module: Any) -> Dict[str, Any]:
    return module.__dict__ if isinstance(module, ModuleType) else {}


def _user_outside(tree: Sequence[str], modules: Mapping[str, Any], mentions: Mentions) -> str:
    """A module outside of the tree that has imported something of it; empty if there is none."""
    within = set(tree)
    objects = {id(modules[name]) for name in tree}
    constants: Set[Tuple[str, int]] = set()
    for name in tree:
        for key, value in _namespace(modules[name]).items():
            if key.startswith("__"):
                continue  # the interpreter's: `__builtins__` is everybody's
            if isinstance(value, _MUTABLES):
                objects.add(id(value))
            elif isinstance(value, _CONSTANTS) and key != "TYPE_CHECKING":
                constants.add((key, id(value)))
    parents = {name.rpartition(".")[0] for name in tree} - within
    for name, module in list(modules.items()):
        if name in within or _is_builtin(module):
            continue
        for key, value in list(_namespace(module).items()):
            if name in parents and f"{name}.{key}" in within:
                continue  # a namespace has its modules as attributes
            imported = id(value) in objects or _defining_module(value) in within
            if imported or ((key, id(value)) in constants and mentions(_origin(module), tree[0].rpartition(".")[2])):
                return name
    return ""


def _mentions(origin: str, word: str) -> bool:
    try:
        with open(origin, "rb") as source:  # noqa: PTH123
            return re.search(rb"\b%s\b" % re.escape(word.encode()), source.read()) is not None
    except OSError:
        return True


def _defining_module(value: Any) -> str:
    """The module that defines a function, a class, or the class of another object."""
    kind = value if isinstance(value, (type, FunctionType, BuiltinFunctionType)) else type(value)
    return str(kind.__dict__.get("__module__") if isinstance(kind, type) else kind.__module__)
