"""Tidegate, started as a user starts it."""

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.peers.peer import Kind, Peer, Start

_TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
_ENDPOINT, _READY_SECONDS = "model", 120


def _command(start: Start) -> list[str]:
    return [_TIDEGATE, "up", "--port", str(start.port), "--data-dir", str(_data(start))]


def _data(start: Start) -> Path:
    return start.folder / "data"


def _token(start: Start) -> str:
    return (_data(start) / "admin.token").read_text().strip()


def _launch(start: Start) -> None:
    """Make the endpoint, unless the data directory has it from an earlier start."""
    _wait_until_ready(start)
    if (_data(start) / "launched").exists():
        return
    command = [_TIDEGATE, "launch", start.workload.model_dir, "--endpoint", _ENDPOINT]
    environment = os.environ | {"TIDEGATE_URL": start.url, "TIDEGATE_TOKEN": _token(start)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise OSError(f"tidegate launch failed: {done.stdout} {done.stderr}")
    (_data(start) / "launched").touch()


def _wait_until_ready(start: Start) -> None:
    """The platform says so in a line of its output."""
    deadline = time.monotonic() + _READY_SECONDS
    while f"ready {start.url}" not in start.log.read_text():
        if time.monotonic() > deadline:
            raise OSError(f"the platform was not ready within {_READY_SECONDS} s")
        time.sleep(0.05)


PEERS = (
    Peer(
        "tidegate",
        "Tidegate",
        "`tidegate up` and `tidegate launch`, nothing set: token check, validation, metrics, batching as proved",
        "settings.md",
        "",
        _command,
        path=f"/serving-endpoints/{_ENDPOINT}/invocations",
        launch=_launch,
        token=_token,
        kind=Kind.OURS,
        workloads=("iris", "wide", "bulk"),
    ),
)
