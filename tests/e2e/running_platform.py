"""A platform started as a user starts it, with `tidegate up`, and the handles that tests need on it."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))


class Platform:
    """One running `tidegate up`."""

    def __init__(self, data_dir: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self._arguments = arguments
        self._environment = environment or {}
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self.printed: list[str] = []
        self.url = ""

    @property
    def token(self) -> str:
        return (self.data_dir / "admin.token").read_text().strip()

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a person who uses this platform."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TIDEGATE_", "DATABRICKS_", "MLFLOW_"))}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return kept | self._environment

    def start(self, *, seconds: float = 120, port: int = 0) -> "Platform":
        """Run `tidegate up` and wait until it says that it is ready."""
        command = [TIDEGATE, "up", "--port", str(port), "--data-dir", str(self.data_dir), *self._arguments]
        self._process = subprocess.Popen(
            command, env=self.environ, stdout=subprocess.PIPE, stderr=None, text=True, start_new_session=True
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        self.url = self.wait_for_line("ready http://", seconds).split()[1]
        return self

    def wait_for_line(self, start: str, seconds: float) -> str:
        """The next line of standard output that starts so."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line starts with {start!r}; printed: {self.printed}") from None
            if line.startswith(start):
                return line

    def stop(self, seconds: float = 60) -> int:
        """End it as Ctrl-C does; returns its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        """Its exit status, once it has ended by itself."""
        assert self._process is not None
        status = self._process.wait(seconds)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status

    def kill(self) -> None:
        """kill -9 the supervisor."""
        assert self._process is not None
        self._process.kill()
        self.wait(10)

    @property
    def pid(self) -> int:
        """The supervisor."""
        assert self._process is not None
        return self._process.pid

    def processes(self) -> dict[int, str]:
        """All its processes: pid → title."""
        found = {}
        root = psutil.Process(self.pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                found[process.pid] = " ".join(process.cmdline()).strip()
        return found

    def pid_of(self, title: str) -> int:
        """The pid of the process whose title starts so."""
        return next(pid for pid, name in self.processes().items() if name.startswith(title))

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client with the administrator's token."""
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.token}"}, timeout=70, **options)

    def command(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the `tidegate` command against it, as a person with this data directory would."""
        environment = self.environ | {"TIDEGATE_URL": self.url, "TIDEGATE_TOKEN": self.token}
        return subprocess.run(
            [TIDEGATE, *arguments], env=environment, input=stdin, capture_output=True, text=True, timeout=600
        )

    def launch(self, name: str, model: str, version: str = "1", **entity: Any) -> None:
        """Create an endpoint and wait until it is up."""
        with self.client() as client:
            served = {"entity_name": model, "entity_version": version, **entity}
            answer = client.post(
                "/api/2.0/serving-endpoints", json={"name": name, "config": {"served_entities": [served]}}
            )
            assert answer.status_code == 200, answer.text
        self.settled(name)

    def update(self, name: str, *entities: dict[str, Any], seconds: float = 300) -> dict[str, Any]:
        """Change what an endpoint serves, and wait for the end of the update."""
        with self.client() as client:
            answer = client.put(f"/api/2.0/serving-endpoints/{name}/config", json={"served_entities": list(entities)})
            assert answer.status_code == 200, answer.text
        return self.settled(name, seconds, expect=None)

    def settled(self, name: str, seconds: float = 300, expect: str | None = "NOT_UPDATING") -> dict[str, Any]:
        """The endpoint once no update runs."""
        state: dict[str, Any] = {}

        def done() -> bool:
            state.update(self.get(name))
            return bool(state["state"]["config_update"] != "IN_PROGRESS")

        until(done, seconds)
        if expect is not None:
            assert state["state"]["config_update"] == expect, state["state"]["message"]
        return state

    def get(self, name: str) -> dict[str, Any]:
        """The endpoint as the API shows it."""
        with self.client() as client:
            answer = client.get(f"/api/2.0/serving-endpoints/{name}")
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

    def build_log(self, name: str) -> str:
        """The build log of the endpoint's first served entity."""
        return self._log(name, "build-logs")

    def log(self, name: str) -> str:
        """What the endpoint's first served entity printed."""
        return self._log(name, "logs")

    def _log(self, name: str, kind: str) -> str:
        state = self.get(name)
        config = state.get("pending_config") or state["config"]
        with self.client() as client:
            served = config["served_entities"][0]["name"] if config.get("served_entities") else "none"
            answer = client.get(f"/api/2.0/serving-endpoints/{name}/served-models/{served}/{kind}")
            return str(answer.json().get("logs", answer.text))

    def score(self, name: str, body: Any, **options: Any) -> httpx.Response:
        """One request to an endpoint."""
        with self.client() as client:
            return client.post(f"/serving-endpoints/{name}/invocations", json=body, **options)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError):  # closed
            for line in process.stdout:
                self.printed.append(line)
                self._lines.put(line)


@contextlib.contextmanager
def platform(data_dir: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Platform]:
    """A platform for the length of a `with`; ended even when the test fails."""
    running = Platform(data_dir, *arguments, environment=environment)
    try:
        yield running.start()
    finally:
        try:
            with contextlib.suppress(AssertionError, psutil.NoSuchProcess):
                running.stop()
        except subprocess.TimeoutExpired:
            running.kill()  # what it started ends with it


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.05)
