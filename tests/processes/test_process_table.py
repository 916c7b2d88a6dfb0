"""The platform's processes as the kernel shows them."""

import subprocess
import sys
import time

import pytest

from tidegate.processes.process_table import platform_processes

# A process with a title, which starts others with theirs and waits for the end of its input.
FAMILY = """
import subprocess, sys
from setproctitle import setproctitle
title, *children = sys.argv[1:]
running = [subprocess.Popen([sys.executable, "-c", sys.orig_argv[2], child],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE) for child in children]
for one in running:
    one.stdout.readline()
setproctitle(title)
print("there", flush=True)
sys.stdin.readline()
for one in running:
    one.stdin.close()
    one.wait()
    one.stdout.close()
"""


def test_those_below_the_supervisor_are_told_by_their_titles() -> None:
    titles = ["tidegate: gateway 0", "tidegate: replica wine r1", "something else"]
    argv = [sys.executable, "-c", FAMILY, "tidegate: supervisor", *titles]
    began = time.time()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as family:
        assert family.stdin is not None
        assert family.stdout is not None
        assert family.stdout.readline() == b"there\n"
        found = platform_processes(family.pid, ["replica", "template"])
        every = platform_processes(family.pid)
        family.stdin.close()
        family.wait(20)
    assert sorted(one.title for one in found) == ["gateway 0", "supervisor"]
    assert sorted(one.title for one in every) == ["gateway 0", "replica wine r1", "supervisor"]
    assert next(one.pid for one in found if one.title == "supervisor") == family.pid
    assert all(one.memory_bytes > 1_000_000 for one in found)
    assert all(one.cpu_seconds > 0 for one in found)
    assert all(began - 2 < one.started_at < began + 60 for one in found)
    assert platform_processes(family.pid) == []


@pytest.mark.parametrize("pid", [0, 2**22 + 1])
def test_of_no_process_nothing_is_told(pid: int) -> None:
    assert platform_processes(pid) == []


def test_a_process_without_a_title_of_the_platform_is_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert platform_processes(other.pid) == []
        other.communicate(b"\n")
