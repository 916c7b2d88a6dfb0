"""Many replicas on a machine with little memory: one process imports what models need, and each replica is its fork.

`python nursery.py OVERLAY`, with one line of JSON per replica on standard input: its launch document, and `log`. Each
fork is the worker's own `main`. When standard input ends, all of them are ended.
"""

import io
import json
import os
import signal
import sys
from typing import NoReturn


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
    sys.stdin = io.StringIO(line + "\n")
    main()


def run() -> None:
    """Bear all of them, and end them when nobody is there any more."""
    sys.path.append(sys.argv[1])
    warm()
    pids = [bear(line.strip()) for line in iter(sys.stdin.readline, "\n")]
    sys.stdin.read()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    run()
