"""py-spy's samples are folded right, and it is there."""

import subprocess
import sys

import pytest
from bench.profile import Cost

from bench import profile, soak

RAW = """main (app.py:3);run (asyncio/runners.py:160);_pump (tidegate/gateway/queue/queues.py:215) 6
main (app.py:3);run (asyncio/runners.py:160);_pump (tidegate/gateway/queue/queues.py:219);send (lane.py:80) 3
main (app.py:3);run (asyncio/runners.py:190);_pump (tidegate/gateway/queue/queues.py:219) 2
<module> (a folder/a file.py:9) 1
run (server.py:12);select (selectors.py:460);EpollSelector.select (selectors.py:468) 50
"""


def test_costs_are_those_of_the_last_frame() -> None:
    assert profile.costs(RAW) == [
        Cost("_pump (tidegate/gateway/queue/queues.py)", 8 / 12),
        Cost("send (lane.py)", 3 / 12),
        Cost("<module> (a folder/a file.py)", 1 / 12),
    ]
    assert profile.costs("") == []


def test_a_process_that_is_not_there_is_said() -> None:
    with pytest.raises(SystemExit, match="py-spy cannot watch process"):
        profile.record(2**22 + 1, 1)


def test_a_busy_function_is_found() -> None:
    program = "def spin():\n    print('up', flush=True)\n    while True: pass\nspin()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            found = profile.record(process.pid, 1)
        finally:
            process.kill()
    assert found[0].function.startswith("spin (")
    assert found[0].share > 0.5


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("tidegate: replica wine 0123456789abcdef", "replica wine 0123456789abcdef"),
        ("/opt/x/bin/python -m mlflow.server", "python -m mlflow.server"),
    ],
)
def test_processes_are_named_shortly(title: str, name: str) -> None:
    assert soak.short(title) == name
