"""The process that `warm` forks replicas from: it has imported MLflow, and nothing of the worker.

`python -I warm_process.py OVERLAY`. Standard input is a socket of packets, `{"folder", "environment"}`, each with the
replica's standard input, its log and its status pipe. The answer is its pid, once this process is its parent no more.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn


def serve() -> None:
    """Fork a replica for each packet, to the end of standard input. In a replica it returns with the worker's end."""
    import mlflow.pyfunc  # noqa: F401
    import pandas as pd  # noqa: F401

    channel = socket.socket(fileno=os.dup(0))
    while True:
        told, descriptors, _, _ = socket.recv_fds(channel, 65536, 3)
        if not told:
            return
        pids, tells = os.pipe()
        middle = os.fork()
        if not middle:
            replica = os.fork()
            if not replica:
                become_replica(descriptors, json.loads(told))
            os.write(tells, str(replica).encode())
            os._exit(0)
        os.waitpid(middle, 0)  # then the replica has another parent
        channel.send(os.read(pids, 100))
        for descriptor in (*descriptors, pids, tells):
            os.close(descriptor)


def become_replica(descriptors: Sequence[int], told: Mapping[str, Any]) -> NoReturn:
    """What `replica.start` does by `Popen`, `AS_FD_3` and `BOOTSTRAP`."""
    os.setsid()
    launch, output, status = descriptors
    high = os.dup2(status, 60)
    for source, place in ((launch, 0), (output, 1), (output, 2), (high, 3)):
        os.dup2(source, place)
    os.closerange(4, 64)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.argv[0] = "-c"
    sys.path.append(sys.argv[1])
    from tidegate_worker.__main__ import main

    main()


if __name__ == "__main__":
    serve()
