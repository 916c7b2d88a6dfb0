"""A running server: started in a session of its own, asked until it answers right, ended with all that it started."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from bench.peers.peer import Peer, Start

_MARK = "BENCH_PEERS_SERVER"
_START_SECONDS, _STOP_SECONDS = 180.0, 20.0


class NotStarted(Exception):
    """The server does not run, or does not answer right; says why."""


class Processes:
    """A command and all processes that come of it, wherever they go: each inherits a mark in its environment."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._mark = uuid.uuid4().hex
        self._descendants: set[psutil.Process] = set()
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command,
                env=kept | dict(environment) | {_MARK: self._mark},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def ended(self) -> int | None:
        """Its exit status, once the command has ended."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask the command to end; kill what is left of it."""
        self._descendants |= set(self._alive())
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        left = {*self._descendants, *self._alive()}
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()  # psutil makes sure that the pid is still that process's
        psutil.wait_procs(left, timeout=10)
        self._process.wait(10)

    def _alive(self) -> Iterator[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield from psutil.Process(self._process.pid).children(recursive=True)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == self._mark:
                    yield process


class Server:
    """`with Server(peer, start) as server:` runs it. `started_after`: seconds until the first right answer."""

    def __init__(self, peer: Peer, start: Start) -> None:
        self._peer, self._start = peer, start
        self.url = start.url + peer.path
        self.body = peer.body(start.workload)
        self.token = ""
        self.started_after = 0.0

    def __enter__(self) -> Self:
        begin = time.monotonic()
        activated = {"PATH": f"{self._start.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
        environment = activated | dict(self._peer.environment(self._start))
        self._processes = Processes(self._peer.command(self._start), environment, self._start.log)
        try:
            self._peer.launch(self._start)
            self.token = self._peer.token(self._start)
            self._wait(begin + _START_SECONDS)
        except BaseException as error:
            self._processes.stop()
            if isinstance(error, (OSError, httpx.HTTPError, subprocess.SubprocessError)):
                raise NotStarted(f"{error} {self._last_words()}") from None
            raise
        self.started_after = time.monotonic() - begin
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._processes.stop()

    def _wait(self, deadline: float) -> None:
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        last = "nothing"
        while time.monotonic() < deadline:
            if (status := self._processes.ended) is not None:
                raise NotStarted(f"it ended with status {status}: {self._last_words()}")
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.post(self.url, content=self.body, headers=headers, timeout=60)
                last = f"{answer.status_code} {answer.text[:200]}"
                if answer.status_code == 200:
                    self._check(answer)
                    return
            time.sleep(0.1)
        raise NotStarted(f"no answer within {_START_SECONDS:g} s; the last was {last}. {self._last_words()}")

    def _check(self, answer: httpx.Response) -> None:
        try:
            right = self._peer.kind == "limit" or self._start.workload.right(self._peer.read(answer.json()))
        except (ValueError, KeyError, TypeError, IndexError):
            right = False
        if not right:
            raise NotStarted(f"wrong answer: {answer.text[:200]}")

    def _last_words(self) -> str:
        return " ".join(self._start.log.read_text(errors="replace")[-600:].split())


def free_ports(count: int) -> tuple[int, ...]:
    """Loopback ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return tuple(probe.getsockname()[1] for probe in probes)
