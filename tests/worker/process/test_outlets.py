"""What a model does to its descriptors and streams, and what its replica can still say."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.replica import Gateway, Replica, predictions, probe_model
from tests.worker.replica import start as spawn
from tests.worker.warm import start
from tidegate_worker.ipc import wire
from tidegate_worker.process import outlets

NULL = "null = os.open('/dev/null', os.O_RDWR); os.dup2(null, 1); os.dup2(null, 2)"


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("sys.stderr.close()", start),
        ("sys.stdout.close(); sys.stderr.close(); sys.stdin.close()", start),
        ("sys.stdout = sys.stderr = sys.stdin = None", start),
        ("sys.stdout = sys.stderr = object()", start),
        ("os.close(0); os.close(1); os.close(2)", start),
        (NULL, start),
        (f"{NULL}; os.dup2(null, 3)", start),
        ("os.close(3)", start),
        ("os.closerange(0, 256)", spawn),
    ],
)
def test_a_model_that_closes_or_replaces_what_it_writes_to_serves_and_is_logged(
    tmp_path: Path, code: str, how: Callable[..., Replica]
) -> None:
    replica = how(probe_model(tmp_path / "m", f"run import os, sys; {code}"), tmp_path, proved=False)
    try:
        assert replica.told()["state"] == "ready"
        gateway = Gateway(replica.socket)
        gateway.hello()
        assert predictions(gateway.ask("say:hello")) == ["say:hello"]
        opened = predictions(gateway.ask("descriptors"))[0]
        assert {"0", "1", "2"} <= opened.keys()
        assert not [place for place in "012" if "socket" in opened[place]]
        assert gateway.ask("fail:lost").outcome == wire.MODEL_ERROR
        gateway.close()
        log = replica.log.read_text()
        assert "ready; proved by" in log
        assert "KeyError: 'lost'" in log
    finally:
        replica.end()


@pytest.mark.parametrize("code", ["sys.stderr.close()", "os.closerange(0, 256)"])
def test_a_model_that_does_not_load_after_that_says_why(tmp_path: Path, code: str) -> None:
    replica = start(probe_model(tmp_path / "m", f"run import os, sys; {code}; import absent"), tmp_path)
    try:
        told = replica.told()
        assert told == {
            "state": "failed",
            "message": "The model could not be loaded: ModuleNotFoundError: No module named 'absent'",
        }
        assert replica.wait() == 1
        assert "No module named 'absent'" in replica.log.read_text()
    finally:
        replica.end()


def test_a_model_that_closes_everything_while_it_predicts_leaves_the_reason_in_the_log(tmp_path: Path) -> None:
    replica = start(probe_model(tmp_path / "m"), tmp_path)
    try:
        assert replica.told()["state"] == "ready"
        gateway = Gateway(replica.socket)
        gateway.hello()
        gateway.send("close:3")
        assert gateway.frame() is None
        assert replica.wait() == 1
        assert "the replica ends" in replica.log.read_text()
        gateway.close()
    finally:
        replica.end()


def test_streams_that_a_templates_imports_left_are_made_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    foreign = object()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", foreign)
    outlets.prepare_streams()
    assert sys.stdout is not closed
    assert sys.stdout.fileno() == 1
    assert sys.stderr is foreign
    monkeypatch.setattr(sys, "stderr", None)
    outlets.prepare_streams()
    assert sys.stderr is not None
    assert outlets.log_descriptor() == 2
