"""Many replicas on a machine with little memory: one process imports what models need, and each replica is its fork.

`python nursery.py OVERLAY`, with one line of JSON per replica on standard input: its launch document, and `log`. Each
fork is the worker's own `main`; as under the agent, no more of them start at once than there are cores. When standard
input ends, all of them are ended.
"""

import json
import os
import signal
import sys
import time
from typing import NoReturn

START_SECONDS = 30.0


def warm() -> None:
    """Import what takes long. No thread may start before the forks."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow.pyfunc  # noqa: F401
    import msgspec  # noqa: F401
    import pandas as pd  # noqa: F401


def bear(line: str) -> int:
    """Fork a replica; returns its pid."""
    pid = os.fork()
    if not pid:
        be_replica(line)
    return pid


def be_replica(line: str) -> NoReturn:
    """What a fork does, to its end."""
    from tidegate_worker.__main__ import main

    log = os.open(json.loads(line)["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, 64)
    os.open(os.devnull, os.O_RDONLY)  # 3: nobody waits for a status, and no socket may take its place
    told, tells = os.pipe()
    os.write(tells, line.encode() + b"\n")
    os.close(tells)
    os.dup2(told, 0)
    os.close(told)
    main()


def wait_for(socket: str) -> None:
    """Until a replica listens; a proof takes too long beside many others, and would find out nothing."""
    deadline = time.monotonic() + START_SECONDS
    while not os.path.exists(socket) and time.monotonic() < deadline:  # noqa: PTH110 - nothing more is imported here
        time.sleep(0.01)


def run() -> None:
    """Bear all of them, and end them when nobody is there any more."""
    sys.path.append(sys.argv[1])
    warm()
    pids = []
    for line in iter(sys.stdin.readline, "\n"):
        pids.append(bear(line.strip()))
        if len(pids) % (os.cpu_count() or 1) == 0:
            wait_for(json.loads(line)["socket"])
    sys.stdin.read()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    run()
