"""Where a process spends its time, by function: py-spy's samples, folded. Idle moments are not counted."""

import collections
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

RATE = 200  # samples a second
# Where our processes wait; py-spy takes some of that for work.
WAITS = frozenset({"_wait (tidegate/life_line.py)", "EpollSelector.select (selectors.py)"})
PY_SPY = Path(sys.executable).with_name("py-spy")


@dataclass(frozen=True)
class Cost:
    """What one function takes by itself, C code that it calls included, as a share of all samples."""

    function: str
    share: float


def record(pid: int, seconds: int) -> list[Cost]:
    """Watch a process for so long. Raises SystemExit with py-spy's own words where it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "samples.txt"
        command = [str(PY_SPY), "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(RATE)]
        done = subprocess.run(
            [*command, "--format", "raw", "--function", "--output", str(output)],
            capture_output=True, text=True, timeout=seconds + 60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"py-spy cannot watch process {pid}: {done.stderr.strip()}")
        return costs(output.read_text())


def costs(raw: str) -> list[Cost]:
    """The functions in py-spy's raw format (`frame;frame;frame count` a line), the most expensive first."""
    samples: collections.Counter[str] = collections.Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        name = function(stack.rpartition(";")[2])
        if stack and name not in WAITS:
            samples[name] += int(count)
    return [Cost(name, count / samples.total()) for name, count in samples.most_common()]


def function(frame: str) -> str:
    """A frame's function and file, without the line: `_pump (tidegate/gateway/queue/revision_queue.py)`."""
    return re.sub(r":\d+\)$", ")", frame)
