"""Trials break nothing but themselves: a model that bears no made-up row starts, and says what it is served without."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.worker.replica import Gateway, Replica
from tests.worker.warm import start
from tidegate_worker.fork.trial_child import NoFinding, TrialChild
from tidegate_worker.ipc import wire

MODEL = """
import os, pathlib, signal, threading, time

here = pathlib.Path(__file__).parent.parent

class Fragile:
    def predict(self, data, params=None):
        with open(here / "asked", "a") as asked:
            asked.write("".join(f"{n}\\n" for n in data["n"]))
        PREDICT
        return (data["n"] * 2).to_numpy()

def _load_pyfunc(path):
    with open(here / "loads", "a") as loads:
        loads.write("x")
    LOAD
    return Fragile()
"""
THREAD = "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
REAL = 1001


@contextmanager
def replica(
    folder: Path, predict: str = "pass", load: str = "pass", example: int | None = None, **told: Any
) -> Iterator[Replica]:
    """A replica of a model of one column, whose numbers are counts: none is negative, and most are made up."""
    model = folder / "m"
    (model / "code").mkdir(parents=True)
    (model / "code" / "fragile.py").write_text(MODEL.replace("PREDICT", predict).replace("LOAD", load))
    document: dict[str, Any] = {
        "flavors": {"python_function": {"code": "code", "loader_module": "fragile", "python_version": "3.11.7"}},
        "signature": {"inputs": json.dumps([{"type": "long", "name": "n", "required": True}])},
    }
    if example is not None:
        (model / "example.json").write_text(json.dumps({"columns": ["n"], "data": [[example]]}))
        document["saved_input_example_info"] = {
            "artifact_path": "example.json",
            "type": "dataframe",
            "pandas_orient": "split",
        }
    (model / "MLmodel").write_text(json.dumps(document))
    started = start(model, folder, **{"proved": False, **told})
    try:
        yield started
    finally:
        started.end()


def asked(folder: Path) -> list[int]:
    """The numbers that the model was asked so far, in order."""
    file = folder / "m" / "asked"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def answer(replica: Replica, n: int = REAL) -> Any:
    gateway = Gateway(replica.socket)
    gateway.hello()
    body = json.dumps({"dataframe_records": [{"n": n}]}).encode()
    gateway.socket.sendall(wire.pack_requests([wire.Request(1, 30_000, 0, b"", body)]))
    found = gateway.answer()
    gateway.close()
    return json.loads(found.body)


@pytest.mark.parametrize(
    ("predict", "load", "said"),
    [
        ("if (data['n'] < 0).any(): os.abort()", "pass", "it ended the process by SIGABRT"),
        ("if (data['n'] != 1001).any(): os._exit(3)", "pass", "it ended the process"),
        ("if (data['n'] != 1001).any(): os.kill(os.getpid(), signal.SIGSEGV)", THREAD, "by SIGSEGV"),
        ("if (data['n'] != 1001).any(): os.killpg(0, signal.SIGKILL)", "pass", "the process was killed"),
        ("if (data['n'] != 1001).any(): os.killpg(0, signal.SIGKILL)", THREAD, "the process was killed"),
    ],
)
def test_a_model_that_breaks_on_what_is_made_up_starts(predict: str, load: str, said: str, tmp_path: Path) -> None:
    with replica(tmp_path, predict, load, example=REAL) as started:
        told = started.told()
        assert told["state"] == "ready"
        assert told["proof"]["example"] == "input_example"
        reason = "its trial with made-up rows failed"
        assert told["batching"]["reason"].startswith(f"not enough evidence: {reason}")
        assert reason in told["path"]["reason"]
        assert said in told["path"]["reason"]
        assert told["path"]["mode"] == "compiled"
        assert answer(started) == {"predictions": [2002]}


def test_without_an_example_too(tmp_path: Path) -> None:
    with replica(tmp_path, "if (data['n'] != 1001).any(): os.abort()") as started:
        told = started.told()
        assert (told["state"], told["proof"]["example"]) == ("ready", "none")
        assert "its trial with made-up rows failed: it ended" in told["proof"]["warning"]
        assert answer(started) == {"predictions": [2002]}


@pytest.mark.parametrize("load", ["pass", THREAD])
def test_a_model_that_bears_them_is_tried_in_another_process(load: str, tmp_path: Path) -> None:
    with replica(tmp_path, "open(here / f'by-{os.getpid()}', 'w')", load, example=REAL) as started:
        told = started.told()
        assert told["path"]["mode"] == "compiled"
        assert told["batching"]["tried"]
        [tried] = {int(by.name[3:]) for by in (tmp_path / "m").glob("by-*")} - {started.process.pid}
        log = started.log.read_text()
        began = log.index(f"made-up rows are tried in process {tried}\n")
        assert began < log.index(f"process {tried} has tried the made-up rows")
        # A process with more than one thread cannot be forked safely: then the other one loads the model too.
        assert len((tmp_path / "m" / "loads").read_text()) == (1 if load == "pass" else 2)
        assert asked(tmp_path).count(REAL) > 1
        assert answer(started) == {"predictions": [2002]}


@pytest.mark.parametrize("example", [None, REAL])
def test_without_trials_only_the_example_is_asked(example: int | None, tmp_path: Path) -> None:
    with replica(tmp_path, example=example, trials=False, batching="off") as started:
        told = started.told()
        assert told["state"] == "ready"
        assert told["proof"]["example"] == ("none" if example is None else "input_example")
        assert told["batching"]["mode"] == "off"
        assert asked(tmp_path) == ([] if example is None else [REAL])
        assert (told["path"]["mode"], told["path"]["input"]) == ("compiled", "dataframe")
        for n in range(20):
            assert answer(started, n) == {"predictions": [2 * n]}
        assert asked(tmp_path) == [*([] if example is None else [REAL]), *range(20)]


def test_a_child_tells_what_it_finds() -> None:
    child = TrialChild(lambda: {"pid": os.getpid(), "much": "x" * 300_000})
    found = child.run(30.0)
    assert found["pid"] != os.getpid()
    assert len(found["much"]) == 300_000
    assert child.end() == 0


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGUSR1), "it ended the process by SIGUSR1"),
        (lambda: os._exit(0), "it ended the process"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "the process was killed, as when memory is short"),
        (lambda: {"no": object()}, "it ended the process"),
        (lambda: time.sleep(600), "it took longer than 0.5 s"),
    ],
)
def test_a_child_that_finds_nothing_says_why(task: Any, said: str) -> None:
    with pytest.raises(NoFinding, match=f"^{said}$"):
        TrialChild(task).run(0.5 if "longer" in said else 30.0)


def test_what_a_child_has_started_ends_with_it() -> None:
    found = TrialChild(lambda: {"pid": subprocess.Popen(["sleep", "600"]).pid}).run(30.0)
    stat, until = Path(f"/proc/{found['pid']}/stat"), time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.01)
    pytest.fail("it still runs")


def test_a_child_that_is_not_needed_ends() -> None:
    child = TrialChild(dict)
    pid = child.pid
    child.end()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
