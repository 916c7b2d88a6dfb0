"""The life line: processes end with their supervisor."""

import os
import subprocess
import sys
import time

import pytest

from tidegate import life_line

CHILD = """
import sys, time
from tidegate import life_line
def say(): print("bye", flush=True)
def hang(): print("bye", flush=True); time.sleep(60)
life_line.watch(int(sys.argv[1]), {"none": None, "say": say, "hang": hang}[sys.argv[2]])
print("watching", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("on_death", "said"), [("none", b""), ("say", b"bye\n"), ("hang", b"bye\n")])
def test_a_process_ends_within_two_seconds_whatever_it_does(on_death: str, said: bytes) -> None:
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(read), on_death], pass_fds=[read], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == b"watching\n"
        assert child.poll() is None
        os.close(write)
        began = time.monotonic()
        assert child.wait(10) == 1
        assert time.monotonic() - began < life_line.GRACE_SECONDS + 0.5
        assert child.stdout.read() == said
    os.close(read)
