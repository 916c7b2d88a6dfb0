"""Replicas as `replica.start` starts them, forked from one process that has imported MLflow: in 0.1 s instead of 1.5 s.

Such a fork is a spawned replica but for that import. It runs the worker's `main` from its first line, in a session, a
folder and an environment of its own, and finalizes its interpreter. A test of the start itself uses `replica.start`.
"""

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.worker.replica import ONE_THREAD, OVERLAY, PATIENCE, Replica, environment_of, launch_line
from tests.worker.template import subreaper


def start(model: Path, folder: Path, **changes: Any) -> Replica:
    """Start a replica of the model, with its files in `folder`; see `replica.start`."""
    log, (launch, ours), (reader, writer) = folder / "replica.log", os.pipe(), os.pipe()
    told = {"folder": str(folder), "environment": environment_of(folder)}
    with log.open("ab") as output, subreaper():
        socket.send_fds(_channel(), [json.dumps(told).encode()], [launch, output.fileno(), writer])
        process = psutil.Process(int(_channel().recv(100)))
    os.write(ours, launch_line(model, folder / "r.sock", **changes))
    for descriptor in (launch, ours, writer):
        os.close(descriptor)
    return Replica(process, folder / "r.sock", log, reader)


@functools.cache
def _channel() -> socket.socket:
    """This side of the channel to the process that has imported MLflow, which ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE)
    program = str(Path(__file__).with_name("warm_process.py"))
    environment = {"PATH": os.environ["PATH"], "_MLFLOW_IS_IN_SERVING_ENVIRONMENT": "true", **ONE_THREAD}
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", program, str(OVERLAY)], stdin=theirs.fileno(), env=environment
        )

    def end() -> None:
        ours.close()
        process.wait(PATIENCE)

    atexit.register(end)
    return ours
