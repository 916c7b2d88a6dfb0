"""A template started as the agent starts it, and replicas forked from it."""

import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.worker.replica import ONE_THREAD, OVERLAY, PATIENCE, launch_line

BOOTSTRAP = "import sys; sys.path.append(sys.argv[1]); from tidegate_worker.template import main; main()"
ENVIRONMENT = {"PATH": os.environ["PATH"], **ONE_THREAD}
PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37


@contextmanager
def subreaper() -> Iterator[None]:
    """Be the parent of what templates fork, as the agent is."""
    prctl, before = ctypes.CDLL(None).prctl, ctypes.c_int()
    assert prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0) == 0
    assert prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        assert prctl(PR_SET_CHILD_SUBREAPER, before, 0, 0, 0) == 0


@dataclass
class Forked:
    """A replica's process, with this side of its pipes."""

    pid: int
    socket: Path
    log: Path
    status: int
    launch: int

    def begin(self, model: Path, **changes: Any) -> dict[str, Any]:
        """Give it its launch; returns what it says of its start."""
        os.write(self.launch, launch_line(model, self.socket, **changes))
        return self.told()

    def told(self) -> dict[str, Any]:
        """Its status line; nothing when it has ended without one."""
        with os.fdopen(self.status, "rb", closefd=False) as pipe:
            line = pipe.readline()
            while line.strip() == b'{"state": "loaded"}':
                line = pipe.readline()
        return dict(json.loads(line)) if line else {}

    def end(self) -> None:
        """End and reap it."""
        os.close(self.status)
        os.close(self.launch)
        os.kill(self.pid, 9)
        wait(self.pid)


def wait(pid: int) -> int:
    """The wait status of a fork that ends; for a moment it may still be another process's child."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return os.waitpid(pid, 0)[1]
        except ChildProcessError:
            assert time.monotonic() < deadline, f"{pid} was never a child of this process"
            time.sleep(0.01)


@dataclass
class Template:
    """A template's process."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    folder: Path
    said: dict[str, Any] = field(default_factory=dict)
    forks: list[Forked] = field(default_factory=list)

    ahead: int = 0  # pid of the child that it has forked ahead

    def message(self) -> dict[str, Any]:
        """Its next message but that on a child forked ahead; nothing when it has ended."""
        while data := self.channel.recv(65536):
            message = dict(json.loads(data))
            if "ahead" not in message:
                return message
            self.ahead = message["ahead"]
        return {}

    def until_ahead(self) -> int:
        """The pid of the child that it forks ahead, once it has."""
        [message] = [json.loads(self.channel.recv(65536))]
        self.ahead = message["ahead"]
        return self.ahead

    def fork(self) -> Forked:
        """A fork that waits for its launch."""
        number = len(self.forks)
        (launch, ours), (status, theirs) = os.pipe(), os.pipe()
        log = self.folder / f"{number}.log"
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        socket.send_fds(self.channel, [json.dumps({"id": number}).encode()], [launch, output, theirs])
        for descriptor in (launch, output, theirs):
            os.close(descriptor)
        reply = self.message()
        assert reply["id"] == number
        forked = Forked(reply["pid"], self.folder / f"{number}.sock", log, status, ours)
        self.forks.append(forked)
        return forked

    def end(self) -> None:
        """End it and all its forks."""
        for forked in self.forks:
            forked.end()
        self.channel.close()
        self.process.kill()
        self.process.wait(PATIENCE)


def start(
    folder: Path,
    imports: Sequence[str],
    left_out: Sequence[str] = (),
    environment: Mapping[str, str] = ENVIRONMENT,
    overlay: Path = OVERLAY,
) -> Template:
    """A template that has begun to import; with its files in `folder`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE)
    with theirs, (folder / "template.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", BOOTSTRAP, str(overlay)],
            stdin=theirs.fileno(),
            stdout=output,
            stderr=output,
            env={**environment, "HOME": str(folder)},
            cwd=folder,
        )
    ours.send(json.dumps({"environment": "e1", "imports": list(imports), "left_out": list(left_out)}).encode())
    return Template(process, ours, folder)
