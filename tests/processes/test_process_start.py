"""When a process started, as the kernel counts it."""

import os
from pathlib import Path

from tests.architecture.test_source import SOURCES, name_of
from tidegate.processes.process_start import boot_id, start_ticks


def test_each_process_has_its_own_start() -> None:
    assert start_ticks(os.getpid()) == start_ticks(os.getpid())
    assert 0 <= (start_ticks(1) or 0) <= (start_ticks(os.getpid()) or 0)
    assert boot_id() == boot_id() != ""


def test_a_name_with_spaces_and_parentheses_moves_no_field() -> None:
    name, before = Path("/proc/self/comm").read_text(), start_ticks(os.getpid())
    Path("/proc/self/comm").write_text(") Z (x) 1")
    after = start_ticks(os.getpid())
    Path("/proc/self/comm").write_text(name.strip())
    assert after == before is not None


def test_a_zombie_has_no_start() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert start_ticks(pid) is None
    os.waitpid(pid, 0)
    assert start_ticks(pid) is None


def test_one_file_reads_it() -> None:
    readers = {name_of(file) for file in SOURCES if '/stat"' in file.read_text()}
    assert readers == {
        "tidegate/processes/process_start.py",
        "tidegate_worker/process/start_time.py",  # the worker may not import this package
    }
