"""Pid files, over real processes."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tidegate.processes import pid_files


@contextlib.contextmanager
def process(code: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A Python process that has printed its first line."""
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE) as started:
        assert started.stdout
        started.stdout.readline()
        try:
            yield started
        finally:
            started.kill()


HANGS = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
ENDS_SOON = "import time; print(flush=True); time.sleep(0.3)"


def test_what_hangs_is_killed_and_its_file_removed(tmp_path: Path) -> None:
    with process(HANGS) as left_over:
        pid_files.write(tmp_path / "control.pid.json", left_over.pid)
        pid_files.end_left_overs(tmp_path, patience=0.1)
        assert left_over.wait(5) == -9
    assert not list(tmp_path.iterdir())


def test_what_ends_by_itself_is_not_killed(tmp_path: Path) -> None:
    with process(ENDS_SOON) as left_over:
        pid_files.write(tmp_path / "control.pid.json", left_over.pid)
        pid_files.end_left_overs(tmp_path, patience=30)
        assert left_over.wait(5) == 0


def test_a_stranger_with_the_same_pid_is_left_alone(tmp_path: Path) -> None:
    with process(HANGS) as stranger:
        file = tmp_path / "control.pid.json"
        pid_files.write(file, os.getpid())
        file.write_text(json.dumps(json.loads(file.read_text()) | {"pid": stranger.pid}))
        pid_files.end_left_overs(tmp_path, patience=0)
        assert stranger.poll() is None
    assert not list(tmp_path.iterdir())


def test_files_of_processes_long_gone_and_damaged_ones_cost_no_time(tmp_path: Path) -> None:
    with process(ENDS_SOON) as gone:
        pid_files.write(tmp_path / "gone.pid.json", gone.pid)
        gone.wait(5)
    for name, content in {
        "cut": '{"pid": 1',
        "empty": "",
        "list": "[]",
        "word": '{"pid": "x"}',
        "zero": '{"pid":0}',
    }.items():
        (tmp_path / f"{name}.pid.json").write_text(content)
    (tmp_path / "1a2b3c4d.json").write_text("a replica's: the agent's business")
    began = time.monotonic()
    pid_files.end_left_overs(tmp_path, patience=30)
    assert time.monotonic() - began < 5
    assert [path.name for path in tmp_path.iterdir()] == ["1a2b3c4d.json"]


def test_a_process_that_is_gone_or_a_zombie_has_no_start() -> None:
    assert pid_files.started(os.getpid()) == pid_files.started(os.getpid()) is not None
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert pid_files.started(pid) is None
    os.waitpid(pid, 0)
    assert pid_files.started(pid) is None
