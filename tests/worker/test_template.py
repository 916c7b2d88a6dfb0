"""A template and its forks, as real processes."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.worker.replica import OVERLAY, Gateway, eventually, predictions, probe_model, terminate
from tests.worker.replica import start as spawn
from tests.worker.template import ENVIRONMENT, Forked, Template, start, subreaper, wait
from tidegate_worker.fork import library_caches
from tidegate_worker.ipc import wire

IMPORTS = ("numpy", "pandas", "mlflow.pyfunc")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return probe_model(tmp_path_factory.mktemp("model") / "m", example="say:hello")


@pytest.fixture(scope="module", autouse=True)
def parent() -> Iterator[None]:
    """Forks are children of this process, as they are of the agent."""
    with subreaper():
        yield


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """One for all tests that leave it as it was."""
    template = start(tmp_path_factory.mktemp("template"), IMPORTS)
    template.said = template.message()
    yield template
    template.end()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Template]:
    """A template for one test alone, that has imported little."""
    template = start(tmp_path, ("json", "absent_module"))
    template.said = template.message()
    yield template
    template.end()


def ask(replica: Forked, *commands: str) -> list[Any]:
    gateway = Gateway(replica.socket)
    gateway.hello()
    said = [predictions(gateway.ask(command))[0] for command in commands]
    gateway.close()
    return said


def test_it_says_when_it_is_warm_and_what_it_has_left_out(own: Template) -> None:
    assert own.said["state"] == "ready"
    assert own.said["left_out"] == {"absent_module": "ModuleNotFoundError"}
    title = Path(f"/proc/{own.process.pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    assert title == "tidegate: template e1"


def test_a_fork_serves_as_a_spawned_replica_does(template: Template, model: Path) -> None:
    asked = time.monotonic()
    replica = template.fork()
    told = replica.begin(model, proved=False, asked_at=asked)
    assert told["state"] == "ready"
    assert told["proof"]["example"] == "input_example"
    gateway = Gateway(replica.socket)
    welcome = gateway.hello()
    assert welcome["pid"] == replica.pid
    start = welcome["start"]
    assert start["mode"] == "fork"
    assert asked == start["asked"] < start["forked"] < start["ready"] < time.monotonic()
    assert predictions(gateway.ask("say:hello")) == ["say:hello"]
    gateway.close()
    title = Path(f"/proc/{replica.pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    assert title == "tidegate: replica probe 0123456789abcdef"
    assert os.getsid(replica.pid) == replica.pid
    [status] = [line for line in Path(f"/proc/{replica.pid}/status").read_text().splitlines() if "PPid" in line]
    assert int(status.split()[1]) == os.getpid()
    assert "ready" in replica.log.read_text()


def test_a_fork_has_one_thread_and_no_descriptor_of_another(template: Template, model: Path) -> None:
    first, second = template.fork(), template.fork()
    first.begin(model)
    second.begin(model)
    threads, found = ask(second, "kernel_threads:", "descriptors:")
    assert threads == 1
    assert isinstance(found, dict)
    assert found["1"] == found["2"] == str(second.log)
    others = [name for place, name in found.items() if place not in {"0", "1", "2", "3"}]  # 3: its own status pipe
    sockets = [name for name in others if name.startswith("socket:")]
    # Its own listener, the waker's two ends, this connection; its deadline, the selector; nothing of the template's.
    assert len(sockets) == 4
    # The log and the status pipe once more: a model may close those that it knows of.
    assert {name for name in others if name not in sockets} == {
        "/memfd:tidegate-deadline (deleted)",
        "anon_inode:[eventpoll]",
        str(second.log),
        found["3"],
    }


def test_two_forks_draw_other_numbers(template: Template, model: Path) -> None:
    drawn = []
    for _ in range(2):
        replica = template.fork()
        replica.begin(model)
        drawn.append(ask(replica, "randoms:")[0])
    [(python, numpy), (other_python, other_numpy)] = drawn
    assert python != other_python
    assert numpy != other_numpy


def test_a_fork_ends_at_its_deadline_and_by_sigterm(template: Template, model: Path) -> None:
    replica = template.fork()
    replica.begin(model, timeout_seconds=0.3)
    gateway = Gateway(replica.socket)
    gateway.hello()
    gateway.send("sleep:30")
    assert gateway.frame() is None
    gateway.close()
    assert os.WTERMSIG(_status(replica)) == signal.SIGALRM
    assert "in sleep" in replica.log.read_text()
    other = template.fork()
    other.begin(model)
    os.kill(other.pid, signal.SIGTERM)
    assert _status(other) == 0


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_what_a_model_left_behind_is_seen_to_and_a_fork_does_not_take_its_interpreter_down(
    template: Template, model: Path, tmp_path: Path, how: str
) -> None:
    """That would copy all that it shares with its template, while others start."""
    left = tmp_path / "left"
    if how == "fork":
        forked = template.fork()
        forked.begin(model)
        ask(forked, f"leave_behind:{left}")
        os.kill(forked.pid, signal.SIGTERM)
        assert _status(forked) == 0
    else:
        spawned = spawn(model, tmp_path)
        assert spawned.told()["state"] == "ready"
        gateway = Gateway(spawned.socket)
        gateway.hello()
        gateway.ask(f"leave_behind:{left}")
        gateway.close()
        terminate(spawned)
        assert spawned.wait() == 0
        spawned.end()
    assert left.with_suffix(".file").read_text() == "whole"
    found = {each.suffix for each in tmp_path.glob("left.*")}
    seen_to = {".file", ".handler", ".thread"}
    assert found == seen_to if how == "fork" else found - {".torn"} == seen_to


def _status(replica: Forked) -> int:
    """The wait status of a fork that ends; another process takes its place in the clean-up."""
    status = wait(replica.pid)
    replica.pid = _sleeper()
    return status


def _sleeper() -> int:
    return os.posix_spawn("/bin/sleep", ["sleep", "600"], {})


def test_a_fork_that_is_not_needed_ends_quietly(template: Template) -> None:
    replica = template.fork()
    os.close(replica.launch)
    replica.launch = os.open(os.devnull, os.O_RDONLY)
    assert _status(replica) == 0


def test_one_is_forked_ahead_and_the_next_request_is_its(own: Template, model: Path) -> None:
    ahead = own.until_ahead()
    replica = own.fork()
    assert replica.pid == ahead
    told = replica.begin(model)
    assert told["state"] == "ready"
    assert own.fork().pid != ahead


def test_one_forked_ahead_may_be_killed(own: Template) -> None:
    ahead = own.until_ahead()
    os.kill(ahead, signal.SIGKILL)
    wait(ahead)
    assert own.fork().pid != ahead


def test_one_forked_ahead_ends_with_its_template(own: Template) -> None:
    ahead = own.until_ahead()
    own.process.kill()
    wait(ahead)
    assert own.channel.recv(100) == b""  # nobody holds the channel any more


def test_no_zombie_is_left(template: Template) -> None:
    template.fork()
    children = Path(f"/proc/{template.process.pid}/task/{template.process.pid}/children")
    eventually(lambda: children.read_text() == "")


def test_a_template_whose_agent_has_gone_ends(own: Template) -> None:
    own.channel.close()
    assert own.process.wait(10) == 0


def test_a_module_that_starts_a_thread_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    shutil.copytree(OVERLAY / "tidegate_worker", overlay / "tidegate_worker")
    (overlay / "busy.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    template = start(tmp_path, ("json", "busy", "decimal"), overlay=overlay)
    assert template.message() == {"state": "thread", "module": "busy"}
    assert template.process.wait(10) == 1
    template.end()
    other = start(tmp_path, ("json", "busy", "busy.part", "decimal"), ("busy",), overlay=overlay)
    said = other.message()
    other.end()
    assert (said["state"], said["left_out"]) == (
        "ready",
        {"busy": "it starts a thread or keeps a file open"},
    )  # and nothing within it


def test_threads_of_native_code_count(tmp_path: Path) -> None:
    template = start(tmp_path, ("numpy",), environment={**ENVIRONMENT, "OPENBLAS_NUM_THREADS": "2"})
    said = template.message()
    template.end()
    assert said == {"state": "thread", "module": "numpy"}


def test_lookups_that_libraries_keep_are_made_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = ModuleType("narwhals.plugins")
    found = cache(lambda: "the plugins")
    monkeypatch.setattr(plugins, "_discover_entrypoints", found, raising=False)
    monkeypatch.setitem(sys.modules, "narwhals.plugins", plugins)
    library_caches.fill()
    assert found.cache_info().currsize == 1
    monkeypatch.setattr(plugins, "_discover_entrypoints", None)
    library_caches.fill()  # a library that is built otherwise


# --- trials


@pytest.mark.parametrize(
    ("kind", "answer", "told"),
    [
        ("probe", '{"predictions":["say:hello"]}', {"state": "passed"}),
        ("probe", None, {"state": "passed"}),
        (
            "broken",
            None,
            {
                "state": "failed",
                "message": "The model could not be loaded: ImportError: No module named 'absent'",
            },
        ),
        (
            "other in a fork",
            '{"predictions":["spawn"]}',
            {
                "state": "failed",
                "message": "The model gives another answer to its example in a fork than in a process of its own.",
            },
        ),
        ("dying in a fork", None, {}),
        ("hanging in a fork", None, {}),
    ],
)
def test_a_trial_says_whether_the_model_bears_a_fork(
    template: Template, tmp_path: Path, kind: str, answer: str | None, told: dict[str, str]
) -> None:
    model = probe_model(tmp_path / "m", kind, example="say:hello")
    trial = template.fork()
    limit = 3.0 if kind.startswith("hanging") else 60.0
    assert trial.begin(model, trial=True, answer=answer, load_timeout_seconds=limit) == told


# --- the import record


def test_imports_are_recorded_after_the_proof_and_after_the_first_request(model: Path, tmp_path: Path) -> None:
    record = tmp_path / "imports.json"
    replica = spawn(model, tmp_path, proved=False, imports_file=str(record))
    try:
        assert replica.told()["state"] == "ready"
        names = json.loads(record.read_text())
        assert {"mlflow.pyfunc", "pandas", "numpy"} <= set(names)
        assert names.index("mlflow") < names.index("mlflow.pyfunc")
        assert not {"probe", "__main__", "sys"} & set(names)  # the model's own code is another at its next version
        assert "wave" not in names
        gateway = Gateway(replica.socket)
        gateway.hello()
        assert gateway.ask("load:wave").outcome == wire.OK
        eventually(lambda: "wave" in json.loads(record.read_text()))
        assert json.loads(record.read_text())[: len(names)] == names
        gateway.close()
    finally:
        replica.end()


def test_a_fork_adds_to_the_record_what_the_template_lacked(template: Template, model: Path, tmp_path: Path) -> None:
    record = tmp_path / "imports.json"
    record.write_text('["json"]')
    replica = template.fork()
    replica.begin(model, imports_file=str(record))
    before = json.loads(record.read_text())
    assert before[0] == "json"
    ask(replica, "load:wave")
    eventually(lambda: "wave" in json.loads(record.read_text()))
