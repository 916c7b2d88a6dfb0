"""A server's process for the length of a `with`."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.programs import environ

_END_SECONDS = 10.0
# Below those that the kernel gives to clients: nobody gets one of these by chance between the look and the use.
_PORTS = (20_000, 30_000)


@dataclass(frozen=True)
class Program:
    """What is run: its words, and what differs from the usual. `end` is the signal that asks it to end."""

    words: Sequence[object]
    user: str | None = None
    end: signal.Signals = signal.SIGTERM
    start_seconds: float = 30.0
    environ: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket, and which another user may enter."""
    made = Path(tempfile.mkdtemp(prefix="tgs-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def running(program: Program, log: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """Run a program, with what it starts, until the end of the `with`. The block begins once `ready` is true.

    Fails with the program's own words when it ends before that, or is not ready in time.
    """
    words = [str(word) for word in program.words]
    with log.open("wb") as said:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=log.parent, user=program.user,
            env={**environ(Path(words[0])), **program.environ}, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + program.start_seconds
        while not ready() or process.poll() is not None:  # else another program may be what is ready
            why = f"{words[0]} did not start:\n{log.read_text(errors='replace')[-4000:]}"
            assert process.poll() is None and time.monotonic() < deadline, why
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(program.end)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        with contextlib.suppress(ProcessLookupError):  # whatever of it is still there
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    while True:
        port = random.randrange(*_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def listens(address: Path | int) -> bool:
    """Whether somebody listens on a Unix socket, or on a port of the loopback interface."""
    unix = isinstance(address, Path)
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as client, contextlib.suppress(OSError):
        client.settimeout(1.0)
        client.connect(str(address) if unix else ("127.0.0.1", address))
        return True
    return False
