"""A server's process for the length of a `with`."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.services.programs import environ

START_SECONDS, END_SECONDS = 30.0, 10.0


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
def running(argv: Sequence[object], log: Path, ready: Callable[[], bool], user: str | None = None) -> Iterator[None]:
    """Run a program until the end of the `with`; it begins when `ready` says so. Fails with the program's own words."""
    words = [str(word) for word in argv]
    program = Path(words[0])
    with log.open("wb") as said:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environ(program), cwd=log.parent, user=user
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            why = f"{program.name} did not start:\n{log.read_text(errors='replace')[-4000:]}"
            assert process.poll() is None and time.monotonic() < deadline, why
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(address: Path | int) -> bool:
    """Whether somebody listens on a Unix socket, or on a port of the loopback interface."""
    unix = isinstance(address, Path)
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as client, contextlib.suppress(OSError):
        client.settimeout(1.0)
        client.connect(str(address) if unix else ("127.0.0.1", address))
        return True
    return False
