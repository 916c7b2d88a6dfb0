"""The sub-reaper, in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tidegate.processes.reaper import ExitStatusFiles

ADOPT = """
import os, subprocess, sys, time
from tidegate.processes import reaper
reaper.become_subreaper()
subprocess.run(["/bin/sh", "-c", "(sleep 0.1; exit 7) & echo $!"])
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    for pid, status in reaper.reap():
        print(pid, os.waitstatus_to_exitcode(status))
        sys.exit()
    time.sleep(0.01)
"""

KILL_ALL = """
import subprocess, time
from tidegate.processes import reaper
reaper.become_subreaper()
subprocess.run(["/bin/sh", "-c", "trap '' TERM; (trap '' TERM; sleep 60) & echo $!; sh -c 'sleep 60; true' & echo $!"])
reaper.end_descendants()
"""


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def test_an_orphan_is_adopted_and_its_status_known() -> None:
    orphan, pid, code = run(ADOPT)
    assert (pid, code) == (orphan, "7")


def test_no_descendant_is_left() -> None:
    pids = run(KILL_ALL)
    assert len(pids) == 2
    assert not any(Path("/proc", pid).exists() for pid in pids)


def test_notes_hold_the_wait_status_and_go_when_old(tmp_path: Path) -> None:
    (tmp_path / "4").write_text("0")
    notes = ExitStatusFiles(tmp_path)
    assert not list(tmp_path.iterdir())
    notes.write(1, signal.SIGKILL, now=0)
    notes.write(2, 0, now=100)
    assert os.waitstatus_to_exitcode(int((tmp_path / "1").read_text())) == -signal.SIGKILL
    notes.write(1, 256, now=650)  # the pid was used again: the note is new
    notes.write(3, 0, now=800)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"1": "256", "3": "0"}


def test_a_note_that_was_read_and_removed_is_no_trouble(tmp_path: Path) -> None:
    notes = ExitStatusFiles(tmp_path)
    notes.write(1, 0, now=0)
    (tmp_path / "1").unlink()
    notes.write(2, 0, now=1000)
    assert [path.name for path in tmp_path.iterdir()] == ["2"]
