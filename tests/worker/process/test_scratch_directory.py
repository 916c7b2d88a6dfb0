"""Where a replica works, and the processes that its model starts."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.replica import OVERLAY, Gateway, predictions, probe_model, start
from tests.worker.template import start as start_template
from tests.worker.template import subreaper


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return probe_model(tmp_path_factory.mktemp("model") / "m", example="say:hello")


@pytest.fixture(scope="module", params=["spawn", "fork"])
def gateway(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """To a replica that works in the folder `scratch` beside its log."""
    folder = tmp_path_factory.mktemp(request.param)
    scratch = folder / "scratch"
    scratch.mkdir()
    where: dict[str, Any] = {"scratch": str(scratch), "temporary": str(scratch)}
    if request.param == "spawn":
        replica = start(model, folder, **where)
        assert replica.told()["state"] == "ready"
        end = replica.end
    else:
        template = start_template(folder, ("tempfile", "multiprocessing.pool", "mlflow.pyfunc"))
        template.message()
        with subreaper():
            forked = template.fork()
            assert forked.begin(model, **where)["state"] == "ready"
        end = template.end
    gateway = Gateway(folder / ("r.sock" if request.param == "spawn" else "0.sock"))
    gateway.hello()
    gateway.folder = folder  # type: ignore[attr-defined]
    yield gateway
    gateway.close()
    end()


def ask(gateway: Gateway, command: str) -> Any:
    return predictions(gateway.ask(command))[0]


def folder_of(gateway: Gateway) -> Path:
    return Path(gateway.folder)  # type: ignore[attr-defined]


def test_relative_paths_and_temporary_files_are_its_own(gateway: Gateway) -> None:
    scratch = folder_of(gateway) / "scratch"
    ask(gateway, "touch:scratch.csv")
    assert (scratch / "scratch.csv").exists()
    assert Path(ask(gateway, "temporary:")).parent == scratch
    assert ask(gateway, "variable:TMPDIR") == str(scratch)
    left = {path.name for path in folder_of(gateway).iterdir()}
    assert left <= {"scratch", "r.sock", "0.sock", "0.log", "replica.log", "template.log"}


def test_the_artifacts_and_the_code_of_a_model_are_found(gateway: Gateway, model: Path) -> None:
    assert ask(gateway, "file:probe") == str(model / "code" / "probe.py")
    assert ask(gateway, "artifact:kind") == "probe"


def test_what_a_model_tracks_ends_where_it_works(gateway: Gateway) -> None:
    uri, scratch = ask(gateway, "tracking:"), folder_of(gateway) / "scratch"
    assert uri == "sqlite:///mlflow.db" or str(scratch) in uri  # relative to the working directory, or below it


def test_a_pool_in_predict_ends_every_time(gateway: Gateway) -> None:
    for _ in range(20):
        assert ask(gateway, "pool:") == [0, 1, 4, 9]


@pytest.mark.parametrize("kind", ["forked", "run"])
def test_children_take_signals_as_those_of_any_python_do(gateway: Gateway, kind: str) -> None:
    script = "import sys; sys.path.append(sys.argv[1]); import probe; print(*probe.Probe().obey(sys.argv[2]))"
    argv = [sys.executable, "-I", "-c", script, str(Path(__file__).parents[1]), f"{kind}:"]
    plain = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert ask(gateway, f"{kind}:") == plain.stdout.split()


def test_a_scratch_directory_that_is_not_there_fails_the_start_with_a_sentence(model: Path, tmp_path: Path) -> None:
    replica = start(model, tmp_path, scratch=str(tmp_path / "absent"))
    told = replica.told()
    replica.end()
    sentence = f"The replica's scratch directory {tmp_path / 'absent'} cannot be used: No such file or directory."
    assert told == {"state": "failed", "message": sentence}


SCRIPT = """
import os, signal, sys
sys.path.append(sys.argv[1])
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), {signal}))  # before the hooks that follow
from tidegate_worker.process import signals
signals.prepare()
signals.handle(signal.SIGTERM, lambda *_: None)
{own}
child = os.fork()
if not child:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set())
if not {handled}:
    os.kill(os.getpid(), signal.SIGTERM)  # which the parent still handles as a replica
os.kill(os.getpid(), signal.SIGINT)
print("alive")
"""


@pytest.mark.parametrize(
    ("own", "number", "status"),
    [
        ("", signal.SIGTERM, -signal.SIGTERM),
        ("signal.signal(signal.SIGTERM, lambda *_: os._exit(5))", signal.SIGTERM, 5),
        ("", 0, 7),
    ],
)
def test_a_signal_that_comes_while_a_child_begins_is_not_lost(own: str, number: int, status: int) -> None:
    """And a handler of the model's own stays, as in any Python."""
    script = SCRIPT.format(signal=int(number), own=own, handled=bool(own))
    ran = subprocess.run([sys.executable, "-c", script, str(OVERLAY)], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == [str(status), "True", "alive"]
