"""The worker's own server over a model that only waits, put into an overlay as `tidegate_worker.__main__`.

It starts in a moment, so that a test can see many starts; how it drains is what is tested.
"""

import json
import os
import signal
import socket
import sys
import time
from types import SimpleNamespace
from typing import Any

from tidegate_worker.batching.batcher import Batcher, Credits
from tidegate_worker.input.signature import Signature
from tidegate_worker.ipc import wire
from tidegate_worker.proof.verdict import OFF, Verdict
from tidegate_worker.replica_server import Identity, Server

STATUS = 3
NAP = 0.03


class Naps(Batcher):
    """Answers each request with itself, after a nap."""

    def __init__(self) -> None:
        self.serving: Any = SimpleNamespace(scorer=None, verdict=Verdict(OFF))
        self.model: Any = SimpleNamespace(signature=Signature())

    @property
    def credits(self) -> Credits:
        return Credits(1, 1)

    def take(self, queue: Any, now: float) -> list[Any]:
        return [queue.popitem(last=False)[1]]

    def answer(self, batch: Any) -> list[wire.Answer]:
        time.sleep(NAP)
        return [wire.Answer(batch[0].request.id, wire.OK, 0, b"", bytes(batch[0].request.body))]


def main() -> None:
    launch = json.loads(sys.stdin.readline())
    print("launch {}", flush=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(launch["socket"])
    listener.listen()
    said: dict[str, Any] = {"proof": None}
    server = Server(listener, Identity(launch["revision"], launch["secret"]), Naps(), lambda: said, lambda: None)
    signal.signal(signal.SIGTERM, server.stop)
    proof = None if launch["proved"] else {"example": "signature", "warning": ""}
    os.write(STATUS, json.dumps({"state": "ready", "proof": proof}).encode() + b"\n")
    os.close(STATUS)
    server.run()


if __name__ == "__main__":
    main()
