"""Modules that a model brings, and others of their names that its template has imported."""

import json
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.worker.replica import OVERLAY, Gateway, eventually, predictions, probe_model
from tests.worker.replica import start as spawn
from tests.worker.template import start, subreaper
from tidegate_worker.fork import shadowed_modules

# Of the standard library, and all but the last not imported with MLflow.
FREE, USED, USER, EARLY = "tabnanny", "symtable", "user_of_symtable", "json"


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker's folder with a module that takes a function from another."""
    overlay = tmp_path_factory.mktemp("overlay")
    shutil.copytree(OVERLAY / "tidegate_worker", overlay / "tidegate_worker")
    (overlay / f"{USER}.py").write_text(f"from {USED} import symtable\n")
    return overlay


def model_with(folder: Path, *names: str) -> Path:
    """A probe that brings modules of these names."""
    model = probe_model(folder, example="say:hello")
    for name in names:
        (model / "code" / f"{name}.py").write_text("")
    return model


def ask(socket: Path, *commands: str) -> list[Any]:
    gateway = Gateway(socket)
    gateway.hello()
    said = [predictions(gateway.ask(command))[0] for command in commands]
    gateway.close()
    return said


@pytest.fixture(scope="module")
def forks(overlay: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Forks of a template that an earlier model of its environment has made import more than this one."""
    template = start(tmp_path_factory.mktemp("template"), ("mlflow.pyfunc", FREE, USED, USER), overlay=overlay)
    template.message()
    with subreaper():
        yield template.fork
    template.end()


def test_a_fork_finds_the_models_own_module_as_a_spawned_replica_does(forks: Any, tmp_path: Path) -> None:
    model = model_with(tmp_path / "m", FREE, EARLY)
    questions = (f"file:{FREE}", f"file:{EARLY}")
    forked = forks()
    assert forked.begin(model)["state"] == "ready"
    in_fork = ask(forked.socket, *questions)
    replica = spawn(model, tmp_path)
    try:
        replica.told()
        in_spawn = ask(replica.socket, *questions)
    finally:
        replica.end()
    assert in_fork == in_spawn
    assert in_fork[0] == str(model / "code" / f"{FREE}.py")
    assert not in_fork[1].startswith(str(model))  # MLflow itself has imported it before either knows the model


@pytest.mark.parametrize("trial", [False, True])
def test_where_others_hold_on_to_it_the_fork_refuses(forks: Any, tmp_path: Path, trial: bool) -> None:
    model = model_with(tmp_path / "m", USED)
    sentence = f"The model brings a module {USED}, which {USER} in the template has imported from elsewhere."
    assert forks().begin(model, trial=trial) == {"state": "failed", "message": sentence}


def test_the_import_record_has_no_name_that_the_model_brings(tmp_path: Path) -> None:
    model, record = model_with(tmp_path / "m", FREE), tmp_path / "imports.json"
    (model / "code" / f"{FREE}.py").write_text(f"import {USED}")
    replica = spawn(model, tmp_path, imports_file=str(record))
    try:
        replica.told()
        assert ask(replica.socket, f"load:{FREE}") == [FREE]
        eventually(lambda: USED in json.loads(record.read_text()))
    finally:
        replica.end()
    assert FREE not in json.loads(record.read_text())


# --- what a folder brings


def test_what_a_folder_brings(tmp_path: Path) -> None:
    for file in (
        "helpers.py",
        "native.so",
        f"fast{sysconfig.get_config_var('EXT_SUFFIX')}",
        "bytecode.pyc",
        "package/__init__.py",
        "package/inner.py",
        "space/part.py",
        "space/deep/part.py",
        "space/whole/__init__.py",
        "__pycache__/helpers.cpython-311.pyc",
        "not a name.py",
        "some-data/x.py",
        "table.csv",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert set(shadowed_modules.provided(str(tmp_path))) == {
        *("helpers", "native", "fast", "bytecode", "package", "space.part", "space.deep.part", "space.whole"),
    }
    assert list(shadowed_modules.provided(str(tmp_path / "absent"))) == []


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("flavors:\n  python_function:\n    code: code\n", "code"),
        ("flavors:\n  python_function:\n    code: 'my code'\n", "my code"),
        ("flavors:\n  python_function:\n    code: null\n", ""),
        ("flavors:\n  python_function:\n    code:\n    loader_module: a\n", ""),
        ("flavors:\n  sklearn:\n    code: other\n  python_function:\n    loader_module: a\n", "other"),
        ("flavors:\n  sklearn:\n    code: other\n  python_function:\n    code: code\n", "code"),
        ("flavors:\n  sklearn:\n    code: null\n  python_function:\n    code: ../code\n", "../code"),
        ("flavors:\n  python_function:\n    code: [\n", ""),
        ("flavors: []\n  code: x\n", "x"),
    ],
)
def test_the_folder_of_a_models_code(tmp_path: Path, text: str, folder: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    assert shadowed_modules.code_folder(str(tmp_path)) == (str(tmp_path / folder) if folder else "")
    assert shadowed_modules.code_folder(str(tmp_path / "absent")) == ""


# --- the decision


LIST, HELD, LIMIT, TEXT = ["a list"], ["another"], 1000.5, "a text that is nowhere else"


def module(name: str, origin: Any = "/env/x.py", **contents: Any) -> ModuleType:
    made = ModuleType(name)
    made.__builtins__ = LIST  # type: ignore[attr-defined] # as in all modules
    made.__spec__ = ModuleSpec(name, None, origin=origin)
    vars(made).update(contents)
    return made


def modules(*made: Any) -> Mapping[str, Any]:
    return {one.__name__: one for one in made}


def made_in(name: str) -> Any:
    return type("Thing", (), {"__module__": name})


def decide(loaded: Mapping[str, Any], *names: str, early: frozenset[str] = frozenset()) -> shadowed_modules.Decision:
    return shadowed_modules.decide(
        names, loaded, early, lambda origin, word: (origin, word) != ("/env/stranger.py", "utils")
    )


def test_what_nobody_holds_is_taken_away_with_all_that_is_in_it() -> None:
    loaded = modules(
        module("utils", thing=made_in("utils")),
        module("utils.inner", TYPE_CHECKING=False, limit=LIMIT, same=made_in("utils.inner")),
        module("utilsother"),
        module("user", other=1000.5, TYPE_CHECKING=False),
        module("stranger", "/env/stranger.py", limit=LIMIT),
    )
    assert decide(loaded, "utils", "absent") == (("utils", "utils.inner"), "")


def test_what_a_spawned_replica_has_imported_too_stays() -> None:
    assert decide(modules(module("utils")), "utils", early=frozenset({"utils"})) == ((), "")
    assert decide(modules(module("math", "built-in"), module("runpy", "frozen")), "math", "runpy") == ((), "")


def test_of_a_namespace_the_parts_that_the_model_brings_are_taken_away() -> None:
    part = module("space.part")
    loaded = modules(module("space", None, part=part), part, module("space.other"))
    assert decide(loaded, "space.part") == (("space.part",), "")
    hiding = modules(module("space", "/env/space/__init__.py"), module("space.part"))
    assert decide(hiding, "space.part") == ((), "")


@pytest.mark.parametrize(
    "held",
    [
        {"utils": "itself"},
        {"Thing": made_in("utils.inner")},
        {"thing": made_in("utils.inner")()},
        {"renamed": HELD},
        {"text": TEXT},
    ],
)
def test_what_another_holds_refuses(held: dict[str, Any]) -> None:
    utils, inner = module("utils"), module("utils.inner", names=HELD, text=TEXT)
    contents = {key: utils if value == "itself" else value for key, value in held.items()}
    loaded = modules(utils, inner, module("user", **contents))
    assert decide(loaded, "utils") == (
        (),
        "The model brings a module utils, which user in the template has imported from elsewhere.",
    )


def test_compiled_parts_refuse() -> None:
    loaded = modules(module("fast"), module("fast._core", f"/env/fast/_core{sysconfig.get_config_var('EXT_SUFFIX')}"))
    assert decide(loaded, "fast") == (
        (),
        "The model brings a module fast, of which the template has compiled parts (fast._core).",
    )
    assert decide(modules(object_named("odd"), module("utils")), "utils") == (("utils",), "")


def object_named(name: str) -> Any:
    return type("NoModule", (), {"__name__": name})()


def test_a_part_of_a_namespace_is_no_longer_its_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, part = module("tg_space", None), module("tg_space.part")
    vars(space)["part"] = part
    monkeypatch.setitem(sys.modules, "tg_space", space)
    monkeypatch.setitem(sys.modules, "tg_space.part", part)
    (tmp_path / "code" / "tg_space").mkdir(parents=True)
    (tmp_path / "code" / "tg_space" / "part.py").touch()
    (tmp_path / "MLmodel").write_text("flavors:\n  python_function:\n    code: code\n")
    shadowed_modules.remove(str(tmp_path), frozenset())
    assert "tg_space.part" not in sys.modules
    assert not hasattr(space, "part")
