"""A forked replica has the same surroundings as a spawned one: one test for each line in docs/cold-starts.md."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.replica import OVERLAY, Gateway, predictions, probe_model
from tests.worker.replica import start as spawn
from tests.worker.template import ENVIRONMENT, Template, start, subreaper

# Imported in the template alone: each is one way in which a library remembers where it was imported.
NOSY = """
import multiprocessing, os, random, tempfile, threading
import numpy as np

variable, folder = os.environ.get("SHADE"), os.getcwd()
tempfile.gettempdir()
python, numpy, chosen = random.Random(), np.random.default_rng(), random.Random(1)
numpy_chosen = np.random.default_rng(1)
lock = threading.Lock()
"""


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    overlay = tmp_path_factory.mktemp("overlay")
    (overlay / "tidegate_worker").symlink_to(OVERLAY / "tidegate_worker")
    (overlay / "nosy.py").write_text(NOSY)
    return overlay


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return probe_model(tmp_path_factory.mktemp("model") / "m", example="say:hello")


@pytest.fixture(scope="module")
def template(overlay: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    folder = tmp_path_factory.mktemp("template")
    template = start(
        folder,
        ("mlflow.pyfunc", "nosy"),
        environment={**ENVIRONMENT, "SHADE": "blue", "LC_ALL": "C.UTF-8"},
        overlay=overlay,
    )
    assert template.message()["state"] == "ready"
    with subreaper():
        yield template
    template.end()


def scratch(folder: Path) -> dict[str, Any]:
    (folder / "scratch").mkdir()
    return {"scratch": str(folder / "scratch"), "temporary": str(folder / "scratch")}


def asked(socket: Path) -> dict[str, Any]:
    gateway = Gateway(socket)
    gateway.hello()
    said = dict(predictions(gateway.ask("surroundings:"))[0])
    gateway.close()
    return said


@pytest.fixture(scope="module")
def forked(template: Template, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    fork = template.fork()
    fork.begin(model, **scratch(tmp_path_factory.mktemp("fork")))
    return asked(fork.socket)


@pytest.fixture(scope="module")
def other(template: Template, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    fork = template.fork()
    fork.begin(model, **scratch(tmp_path_factory.mktemp("other")))
    return asked(fork.socket)


@pytest.fixture(scope="module")
def spawned(template: Template, overlay: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("spawn")
    environment = {**ENVIRONMENT, "SHADE": "blue", "LC_ALL": "C.UTF-8", "HOME": str(template.folder)}
    replica = spawn(model, folder, environment=environment, overlay=overlay, **scratch(folder))
    try:
        replica.told()
        return asked(replica.socket)
    finally:
        replica.end()


ALIKE = (
    "variables",
    "arguments",
    "main",
    "flags",
    "path",
    "warnings",
    "gc",
    "umask",
    "signals",
    "handlers",
    "timers",
    "limits",
    "priority",
    "session",
    "threads",
    "hooks",
    "locale",
    "loggers",
    "recursion",
    "multiprocessing",
)


@pytest.mark.parametrize("kind", ALIKE)
def test_a_fork_is_as_a_spawned_replica(forked: dict[str, Any], spawned: dict[str, Any], kind: str) -> None:
    assert _bare(forked[kind]) == _bare(spawned[kind])


def _bare(value: Any) -> Any:
    """Without the name of each one's folder, and without addresses."""
    return re.sub(r"/[^'\" ]*/(fork|spawn|other)\d+/| at 0x\w+", "/", repr(value))


def test_each_works_in_its_own_folder_wherever_the_template_was(forked: dict[str, Any], other: dict[str, Any]) -> None:
    assert forked["folder"] != other["folder"]
    for found in (forked, other):
        assert found["temporary"] == found["folder"] == found["variables"]["TMPDIR"]


def test_what_modules_remember_of_their_import_is_the_same(forked: dict[str, Any], spawned: dict[str, Any]) -> None:
    assert forked["remembered"] == spawned["remembered"] == ["blue", False]


def test_what_is_left_to_chance_is_drawn_by_each(forked: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(set(forked["chance"]) | set(other["chance"])) == len(forked["chance"]) + len(other["chance"])


def test_a_seed_that_was_chosen_is_kept(forked: dict[str, Any], other: dict[str, Any], spawned: dict[str, Any]) -> None:
    assert forked["chosen"] == other["chosen"] == spawned["chosen"]


def test_a_module_that_keeps_a_file_open_is_left_out(tmp_path: Path) -> None:
    """Forks would read it from one position."""
    (tmp_path / "tidegate_worker").symlink_to(OVERLAY / "tidegate_worker")
    (tmp_path / "reader.py").write_text("opened = open(__file__)\nnothing = open('/dev/null')\n")
    (tmp_path / "quiet.py").write_text("nothing = open('/dev/null')\nwith open(__file__) as read: read.read()\n")
    template = start(tmp_path, ("json", "quiet", "reader"), overlay=tmp_path)
    assert template.message() == {"state": "thread", "module": "reader"}
    template.end()
