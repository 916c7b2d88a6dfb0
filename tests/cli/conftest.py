"""A platform to call, and the ways a person calls it: on a pipe, and on a terminal."""

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.platform import Platform
from tests.registries import EmbeddedRegistry
from tidegate.cli.app import app

Cli = Callable[..., Result]

TIDEGATE = [sys.executable, "-m", "tidegate"]


@pytest.fixture(autouse=True)
def _nothing_else_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working directory, and no variable of the developer's own."""
    for variable in [name for name in os.environ if name.startswith(("TIDEGATE_", "DATABRICKS_", "MLFLOW_"))]:
        monkeypatch.delenv(variable)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A platform whose data directory is the default one."""
    started = Platform(tmp_path / "work" / ".tidegate")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def platform_with_registry(tmp_path: Path, registry_socket: Path) -> Iterator[Platform]:
    """The same, and the real embedded registry below /mlflow."""
    started = Platform(tmp_path / "work" / ".tidegate", registry_socket)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def empty_platform(platform_with_registry: Platform) -> Platform:
    """The same, and nothing is registered."""
    with platform_with_registry.registry_client() as client:
        found = client.get("/registered-models/search").json().get("registered_models", [])
        for model in found:
            client.request("DELETE", "/registered-models/delete", json={"name": model["name"]}).raise_for_status()
    return platform_with_registry


@pytest.fixture
def cli() -> Cli:
    """Runs a command whose standard streams are no terminal."""

    def run(*args: str, data: str | bytes = "", env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, args, input=data, env=env, prog_name="tidegate", catch_exceptions=False)

    return run


def run(*args: str, data: str = "", timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """A command in a process of its own, on pipes."""
    return subprocess.run([*TIDEGATE, *args], input=data, capture_output=True, text=True, timeout=timeout)


@contextlib.contextmanager
def started(*args: str) -> Iterator["subprocess.Popen[str]"]:
    """A command under way, on pipes; ended at the latest with the block."""
    command = [*TIDEGATE, *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


class Terminal:
    """A command in a process of its own, on a terminal 100 columns wide."""

    def __init__(self, *args: str) -> None:
        self._screen, end = pty.openpty()
        environ = os.environ | {"COLUMNS": "100", "LINES": "40", "TERM": "xterm"}
        self.process = subprocess.Popen(
            [*TIDEGATE, *args], stdin=end, stdout=end, stderr=end, env=environ, start_new_session=True
        )
        os.close(end)
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Wait until it was shown."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert self._read(deadline), f"{text!r} was not shown: {self.shown}"

    def end(self, seconds: float = 30) -> int:
        """The exit status, once all was shown."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        os.close(self._screen)
        return self.process.wait(seconds)

    def _read(self, deadline: float) -> bool:
        if not select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            chunk = os.read(self._screen, 65536).decode(errors="replace")
            self.shown += chunk
            return bool(chunk)
        return False


@pytest.fixture
def registry_socket(embedded: EmbeddedRegistry) -> Path:
    """The embedded registry, really running."""
    return embedded.data.registry_socket
