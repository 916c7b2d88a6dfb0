"""`tidegate up` over real processes that stand in for the platform's: what happens to them is in a journal."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tidegate import settings_loading, supervisor
from tidegate.adapters.environments.marker import MARKER, mark
from tidegate.adapters.environments.worker_source import WORKER, digest, source
from tidegate.core.restart_policy import MISCONFIGURED
from tidegate.processes import listeners

PLATFORM = Path(__file__).parent / "processes" / "stub_platform.py"


@contextlib.contextmanager
def _heard(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_DFL)
    yield
    signal.signal(number, before)


class Platform:
    """A supervisor with stub children."""

    def __init__(
        self,
        data: Path,
        *behaviours: str,
        gateways: int = 1,
        port: int = 0,
        errors: int | None = None,
        public_url: str = "",
    ) -> None:
        self.data = data
        self._journal = data.with_suffix(".journal")
        self._errors = data.with_suffix(".errors")
        given = {"server": {"data_dir": str(data), "port": port, "gateways": gateways, "public_url": public_url}}
        # Under nohup it would ignore SIGHUP, as it should; here it is to hear it.
        with self._errors.open("ab") as file, _heard(signal.SIGHUP):
            self.process = subprocess.Popen(
                [sys.executable, PLATFORM, json.dumps(given), self._journal, *behaviours],
                stdout=subprocess.PIPE,
                stderr=file if errors is None else errors,
                text=True,
            )

    @property
    def errors(self) -> str:
        """What was printed on standard error."""
        return self._errors.read_text()

    @property
    def port(self) -> int:
        return int(json.loads((self.data / "server.json").read_text())["url"].rpartition(":")[2])

    def journal(self) -> list[tuple[str, int, str]]:
        """Name, pid and event of each entry."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return [(name, pid, event) for name, pid, event in map(json.loads, lines)]

    def pids(self, name: str) -> list[int]:
        """Of all processes that had the name, oldest first."""
        return [pid for had, pid, event in self.journal() if (had, event) == (name, "started")]

    def none_left(self) -> bool:
        return not any(alive(pid) for _, pid, _ in self.journal())

    def ready_line(self) -> str:
        """The line that it prints when it is ready; empty when it ended before."""
        assert self.process.stdout
        return self.process.stdout.readline()

    def up(self) -> None:
        """Wait until it is ready and all of its processes have come up."""
        assert self.ready_line().startswith("ready ")
        until(lambda: len({name for name, _, _ in self.journal()}) >= 4)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after this signal."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def get(self, path: str) -> str:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()


Start = Callable[..., Platform]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a platform; whatever is left of it at the end is killed."""
    started: list[Platform] = []

    def start(*behaviours: str, data: Path = tmp_path / "data", **options: Any) -> Platform:
        started.append(Platform(data, *behaviours, **options))
        return started[-1]

    yield start
    for platform in started:
        platform.process.kill()
        platform.process.communicate()
    for platform in started:
        for _, pid, _ in platform.journal():
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether that process of ours runs, and is no zombie that nobody has reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


# --- start ---


def test_ready_is_printed_once_when_requests_are_answered(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    platform = start(f"gateway 0:ready_when={gate}")
    until(lambda: bool(platform.pids("gateway 0")))
    assert not (platform.data / "server.json").exists()
    gate.touch()
    assert platform.ready_line() == f"ready http://127.0.0.1:{platform.port}\n"
    url, token = f"http://127.0.0.1:{platform.port}", platform.data / "admin.token"
    assert platform.ready_line() == f"Dashboard: {url}/ (log in with the content of {token})\n"
    assert platform.ready_line() == f"MLflow's pages: {url}/mlflow (user: token; password: the content of {token})\n"
    assert platform.ready_line() == f"Logs: {platform.data / 'logs'}\n"
    assert json.loads((platform.data / "server.json").read_text()) == {
        "url": f"http://127.0.0.1:{platform.port}",
        "public_url": "",
        "pid": platform.process.pid,
    }
    assert platform.get("/pid") == str(platform.pids("gateway 0")[0])
    assert platform.end() == 0
    assert platform.ready_line() == (
        "Stopping: requests under way are answered first. "
        "All processes end within 4 s; a second Ctrl-C ends them at once.\n"
    )
    assert platform.ready_line() == ""
    assert platform.errors == ""
    assert not (platform.data / "server.json").exists()


def test_the_public_url_is_told_and_recorded_for_the_command_line(start: Start) -> None:
    platform = start(public_url="https://example.org/ml/")
    assert platform.ready_line() == f"ready http://127.0.0.1:{platform.port}\n"
    assert platform.ready_line() == "Callers reach it at https://example.org/ml\n"
    assert platform.ready_line().startswith("Dashboard: https://example.org/ml/ ")
    assert platform.ready_line().startswith("MLflow's pages: https://example.org/ml/mlflow ")
    assert json.loads((platform.data / "server.json").read_text())["public_url"] == "https://example.org/ml"


def test_overlays_of_another_version_have_the_present_worker_when_it_is_ready(start: Start) -> None:
    platform = start()
    platform.ready_line()
    overlay = platform.data / "overlays" / "0123"
    (overlay / WORKER).mkdir(parents=True)
    mark(overlay, json.dumps(["another", "", "3.11", "linux"]))
    assert platform.end() == 0
    assert start().ready_line().startswith("ready ")
    assert digest(overlay / WORKER) == digest(source())
    assert json.loads((overlay / MARKER).read_text()) == [digest(source()), "", "3.11", "linux"]


def test_the_token_is_made_and_nowhere_shown(start: Start) -> None:
    platform = start()
    platform.ready_line()
    token = platform.data / "admin.token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert platform.end() == 0
    shown = platform.errors + "".join(log.read_text() for log in (platform.data / "logs").glob("*.log"))
    assert token.read_text() not in shown


def test_processes_start_in_order_and_print_where_they_may(start: Start) -> None:
    platform = start("registry:says=noise", "control:says=a warning", gateways=2)
    platform.up()
    until(lambda: len(platform.journal()) == 5)
    started = {name for name, _, event in platform.journal() if event == "started"}
    assert started == {"registry", "control", "agent", "gateway 0", "gateway 1"}
    assert (platform.data / "logs" / "registry.log").read_text() == "noise\n"
    assert platform.errors == "a warning\n"


def test_a_taken_port_is_a_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        platform = start(port=port)
        assert platform.process.wait(30) == 1
    assert f"Port {port} on 127.0.0.1 is taken" in platform.errors
    assert platform.journal() == []


def test_a_data_directory_has_one_platform(start: Start) -> None:
    first = start()
    first.ready_line()
    second = start(data=first.data)
    assert second.process.wait(30) == 1
    assert f"in use by another Tidegate (process {first.process.pid})" in second.errors
    assert first.get("/pid")
    assert first.end() == 0


def test_a_process_that_keeps_dying_ends_the_start_with_a_sentence(start: Start, tmp_path: Path) -> None:
    platform = start("control:exits=3", f"gateway 0:ready_when={tmp_path / 'never'}")
    assert platform.process.wait(30) == 1
    assert len(platform.pids("control")) == 5
    log = platform.data / "logs" / "control.log"
    assert f"its control process ended with exit code 3. The reason is in {log}." in platform.errors
    assert platform.none_left()
    assert platform.ready_line() == ""


def test_wrong_settings_are_not_tried_again(start: Start, tmp_path: Path) -> None:
    platform = start(f"control:exits={MISCONFIGURED}", f"gateway 0:ready_when={tmp_path / 'never'}")
    assert platform.process.wait(30) == 1
    assert len(platform.pids("control")) == 1
    assert "Tidegate cannot start" in platform.errors


def test_a_terminal_shows_what_is_waited_for(start: Start, tmp_path: Path) -> None:
    terminal, theirs = pty.openpty()
    platform = start(f"gateway 0:ready_when={tmp_path / 'never'}", errors=theirs)
    os.close(theirs)
    with os.fdopen(terminal, "rb", buffering=0) as shown:
        seen = b""
        while b"The platform is starting." not in seen:
            seen += shown.read(4096)
        assert platform.end() == 0
    assert b"Starting Tidegate" in seen


# --- restarts ---


@pytest.mark.parametrize("name", ["registry", "control", "agent", "gateway 0"])
def test_what_is_killed_comes_back(start: Start, name: str) -> None:
    platform = start()
    platform.up()
    os.kill(platform.pids(name)[0], signal.SIGKILL)
    until(lambda: len(platform.pids(name)) == 2, seconds=5)
    assert int(platform.get("/pid")) == platform.pids("gateway 0")[-1]
    assert f"a process was ended by signal 9; it is started again process={name}" in platform.errors
    assert platform.end() == 0
    assert platform.none_left()


def test_a_connection_that_waits_for_a_dead_gateway_is_served_by_the_next(start: Start) -> None:
    platform = start()
    platform.up()
    (dead,) = platform.pids("gateway 0")
    os.kill(dead, signal.SIGSTOP)  # it accepts nothing any more
    with socket.create_connection(("127.0.0.1", platform.port), timeout=20) as waiting:
        waiting.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
        os.kill(dead, signal.SIGKILL)
        answer = b"".join(iter(lambda: waiting.recv(4096), b""))
    assert int(answer.split()[-1]) == platform.pids("gateway 0")[-1] != dead


def test_an_orphan_is_reaped_and_its_status_left_for_whoever_knew_it(start: Start, tmp_path: Path) -> None:
    platform = start(f"agent:orphan={tmp_path / 'orphan'}")
    platform.up()
    until(lambda: (tmp_path / "orphan").exists())
    note = platform.data / "run" / "exits" / (tmp_path / "orphan").read_text()
    until(note.exists)
    assert os.waitstatus_to_exitcode(int(note.read_text())) == 7


def test_a_process_that_runs_once_talks_to_the_user_and_is_not_missed(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    platform = start("once:says=hello", "once:exits=3", f"gateway 0:ready_when={gate}")
    assert platform.ready_line() == "hello\n"
    until(lambda: "a process ended with exit code 3 process=once" in platform.errors)
    gate.touch()
    platform.up()
    assert platform.end() == 0
    assert len(platform.pids("once")) == 1


# --- the end ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_them_one_after_the_other(start: Start, number: signal.Signals) -> None:
    names = ["gateway 0", "agent", "control", "registry"]
    platform = start(*(f"{name}:drain=0.1" for name in names))
    platform.up()
    port = platform.port
    assert platform.end(number) == 0
    ends = [(name, event) for name, _, event in platform.journal() if event != "started"]
    assert ends == [(name, event) for name in names for event in ("asked to end", "ended")]
    assert platform.none_left()
    assert not list((platform.data / "run").glob("*.pid.json"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_no_connection_is_left_waiting_once_the_gateways_have_ended(start: Start) -> None:
    platform = start("agent:hang=")
    platform.up()
    port = platform.port
    platform.process.send_signal(signal.SIGTERM)
    until(lambda: ("agent", "asked to end") in {(name, event) for name, _, event in platform.journal()})
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_what_does_not_end_in_time_is_killed(start: Start) -> None:
    platform = start("control:hang=")
    platform.up()
    assert platform.end() == 0
    assert platform.none_left()
    assert "killing what did not end in time processes=control" in platform.errors


def test_a_second_interrupt_ends_them_at_once(start: Start) -> None:
    platform = start("gateway 0:drain=30")
    platform.up()
    platform.process.send_signal(signal.SIGINT)
    until(lambda: "asked to end" in {event for _, _, event in platform.journal()})
    began = time.monotonic()
    assert platform.end(signal.SIGINT) == 0
    assert time.monotonic() - began < 0.9  # the stubs' drain limit is a second
    assert platform.none_left()


def test_a_signal_while_starting_ends_it_too(start: Start, tmp_path: Path) -> None:
    platform = start(f"gateway 0:ready_when={tmp_path / 'never'}")
    until(lambda: bool(platform.pids("gateway 0")))
    assert platform.end() == 0
    assert platform.none_left()
    assert platform.ready_line().startswith("Stopping: ")
    assert platform.ready_line() == ""


def test_everything_ends_with_a_killed_supervisor_and_what_hangs_with_the_next_start(start: Start) -> None:
    first = start("control:hang=")
    first.up()
    (hanging,) = first.pids("control")
    assert first.end(signal.SIGKILL) == -9
    others = [pid for name, pid, _ in first.journal() if name != "control"]
    until(lambda: not any(alive(pid) for pid in others), seconds=2)
    assert alive(hanging)
    second = start(data=first.data)
    assert second.ready_line().startswith("ready ")
    assert not alive(hanging)
    assert f"an earlier run left behind pid={hanging}" in second.errors
    assert second.end() == 0


# --- the platform's own processes ---


def test_every_role_gets_its_settings_its_socket_and_its_life_line() -> None:
    given = settings_loading.load({}, overrides={"server": {"gateways": 2}})
    sockets = listeners.listen("127.0.0.1", 0, 2)
    with sockets[0], sockets[1]:
        specs = {spec.name: spec for spec in supervisor.specs(given, sockets, life_line=5)}
        assert list(specs) == ["registry", "control", "agent", "gateway 0", "gateway 1"]
        words = specs["gateway 1"].argv
        assert words[:5] == (sys.executable, "-P", "-m", "tidegate.app", "gateway")
        options = dict(zip(words[5::2], words[6::2], strict=True))
        handed = json.loads(specs["gateway 1"].env[settings_loading.SETTINGS_VARIABLE])
        assert settings_loading.load({}, overrides=handed) == given
        assert options == {"--life-line": "5", "--index": "1", "--socket": str(sockets[1].fileno())}
        assert specs["gateway 1"].pass_fds == (5, sockets[1].fileno())
    assert all(5 in spec.pass_fds for spec in specs.values())


def test_a_registry_elsewhere_is_not_embedded() -> None:
    given = settings_loading.load({}, overrides={"registry": {"uri": "https://mlflow.example.com"}})
    assert [spec.name for spec in supervisor.specs(given, [], life_line=5)] == ["control", "agent"]


def test_the_embedded_registry_is_told_where_files_of_models_may_lie() -> None:
    given = settings_loading.load({}, overrides={"registry": {"artifact_roots": "/mnt/models s3://bucket/models"}})
    [registry, *_] = supervisor.specs(given, [], life_line=5)
    assert registry.argv[-3:] == ("5", "/mnt/models", "s3://bucket/models")


def test_children_may_write_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    for spec in supervisor.specs(settings_loading.load({}), [], life_line=5):
        assert "PYTHONDONTWRITEBYTECODE" not in spec.env
        assert spec.env["LANG"] == "C.UTF-8"
