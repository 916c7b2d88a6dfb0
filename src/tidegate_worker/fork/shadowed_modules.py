"""What a template has imported under a name that a model brings itself (`code_paths`): it must not stand before it.

A spawned replica finds the model's own first, but for what MLflow has imported before the model's folder was known.
A fork is made equal: the template's module is taken away before the model is loaded. Where others hold on to it, or it
has compiled parts, which load once in a process, the replica cannot be forked.
"""

import os
import re
import sys
from importlib.machinery import EXTENSION_SUFFIXES, all_suffixes
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import AbstractSet, Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

_CODE = re.compile(r"^ +code: *(\S.*)$", re.MULTILINE)
_SIMPLE = re.compile(r"[\w./-]+")  # a folder's name that needs no YAML parser
_PLAIN = (int, float, str, bytes, tuple)  # constants: the same under the same name may be imported from there
_HELD = (list, dict, set)  # the same object under any name is


Mentions = Callable[[str, str], bool]


class Shadowed(Exception):
    """The model cannot be loaded in this fork; the sentence says why."""


class Decision(NamedTuple):
    """The modules to take away, and, where that is not enough, why the replica cannot be forked."""

    remove: Tuple[str, ...]
    refused: str = ""


def clear(model_dir: str, first: AbstractSet[str]) -> None:
    """Take away what shadows the model's own modules in this process. Raises Shadowed.

    `first` are the modules that a spawned replica, too, has imported before it knows the model's folder."""
    folder = code_folder(model_dir)
    if not folder:
        return
    decision = decide(provided(folder), sys.modules, first, _mentions)
    if decision.refused:
        raise Shadowed(decision.refused)
    for name in decision.remove:
        parent, _, own = name.rpartition(".")
        del sys.modules[name]
        if parent in sys.modules:
            vars(sys.modules[parent]).pop(own, None)


def code_folder(model_dir: str) -> str:
    """The folder of the model's own code; empty when it has none, or its MLmodel file cannot be read."""
    try:
        with open(os.path.join(model_dir, "MLmodel"), encoding="utf-8") as opened:  # noqa: PTH118, PTH123
            text = opened.read()
    except (OSError, ValueError):
        return ""
    found = {name.strip() for name in _CODE.findall(text)} - {"null", "~"}
    if not found:
        return ""
    if len(found) == 1 and _SIMPLE.fullmatch(*found):
        return os.path.join(model_dir, *found)  # noqa: PTH118
    import yaml

    try:
        quick = hasattr(yaml, "CSafeLoader")
        document = yaml.load(text, Loader=yaml.CSafeLoader) if quick else yaml.safe_load(text)
        code = document["flavors"]["python_function"].get("code")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):  # the load says what is wrong with it
        return ""
    return os.path.join(model_dir, code) if isinstance(code, str) and code else ""  # noqa: PTH118


def provided(folder: str, within: str = "") -> Iterator[str]:
    """The names of modules that a folder brings: of packages the packages', of namespaces those within."""
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


def decide(names: Iterable[str], modules: Mapping[str, Any], first: AbstractSet[str], mentions: Mentions) -> Decision:
    """What to do about those names, that a model brings, among these modules. See `clear`.

    `mentions` says whether the source in a file has a word, or may have."""
    remove: List[str] = []
    for name in names:
        if name not in modules or name in first or _fixed(modules[name]) or not _reachable(name, modules):
            continue
        tree = [other for other in modules if other == name or other.startswith(name + ".")]
        if compiled := next(
            (other for other in tree if _origin(modules[other]).endswith(tuple(EXTENSION_SUFFIXES))), ""
        ):
            return Decision(
                (), f"The model brings a module {name}, of which the template has compiled parts ({compiled})."
            )
        if user := _user(tree, modules, mentions):
            return Decision(
                (), f"The model brings a module {name}, which {user} in the template has imported from elsewhere."
            )
        remove += tree
    return Decision(tuple(remove))


def _fixed(module: Any) -> bool:
    """Whether no folder comes before it: a part of the interpreter."""
    return _origin(module) in ("built-in", "frozen")


def _reachable(name: str, modules: Mapping[str, Any]) -> bool:
    """Whether what it lies in is a namespace, which the model adds to, and not a package that hides the model's."""
    parts = name.split(".")
    above = [modules.get(".".join(parts[:count])) for count in range(1, len(parts))]
    return all(module is None or not _origin(module) for module in above)


def _origin(module: Any) -> str:
    spec = _namespace(module).get("__spec__")
    return str(getattr(spec, "origin", None) or _namespace(module).get("__file__") or "")


def _namespace(module: Any) -> Dict[str, Any]:
    return module.__dict__ if isinstance(module, ModuleType) else {}


def _user(tree: Sequence[str], modules: Mapping[str, Any], mentions: Mentions) -> str:
    """A module outside of the tree that holds something of it; empty when there is none."""
    within = set(tree)
    own = {id(modules[name]) for name in tree}
    plain: Set[Tuple[str, int]] = set()
    for name in tree:
        for key, value in _namespace(modules[name]).items():
            if key.startswith("__"):
                continue  # the interpreter's: `__builtins__` is everybody's
            if isinstance(value, _HELD):
                own.add(id(value))
            elif isinstance(value, _PLAIN) and key != "TYPE_CHECKING":
                plain.add((key, id(value)))
    parents = {name.rpartition(".")[0] for name in tree} - within
    for name, module in list(modules.items()):
        if name in within or _fixed(module):
            continue
        for key, value in list(_namespace(module).items()):
            if name in parents and f"{name}.{key}" in within:
                continue  # a namespace has its modules as attributes
            held = id(value) in own or _maker(value) in within
            if held or ((key, id(value)) in plain and mentions(_origin(module), tree[0].rpartition(".")[2])):
                return name
    return ""


def _mentions(origin: str, word: str) -> bool:
    try:
        with open(origin, "rb") as source:  # noqa: PTH123
            return re.search(rb"\b%s\b" % re.escape(word.encode()), source.read()) is not None
    except OSError:
        return True


def _maker(value: Any) -> str:
    """The module that has made a function or class, or an object's class."""
    kind = value if isinstance(value, (type, FunctionType, BuiltinFunctionType)) else type(value)
    return str(kind.__dict__.get("__module__") if isinstance(kind, type) else kind.__module__)
