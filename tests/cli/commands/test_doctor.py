"""`tidegate doctor`."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, Terminal
from tests.cli.platform import Platform
from tidegate.cli import checks
from tidegate.cli.client import Client
from tidegate.cli.find_server import Server
from tidegate.dashboard import vendor_files
from tidegate.data_directory import DataDirectory
from tidegate.settings import ServerSettings, Settings

Found = dict[str, dict[str, Any]]


@pytest.fixture
def doctor(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Found, str]]:
    """Exit status, the checks by subject, and standard error. No other interpreter is looked for: that takes long."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", "/nonexistent")
    for variable in ("PYENV_ROOT", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(checks, "_ENOUGH_BYTES", 1)

    def look(*args: str) -> tuple[int, Found, str]:
        done = cli("doctor", "-o", "json", *args)
        return done.exit_code, {check["subject"]: check for check in json.loads(done.stdout)}, done.stderr

    return look


Doctor = Callable[..., tuple[int, Found, str]]


def test_libraries_of_the_dashboard_that_are_missing_are_told(
    platform: Platform, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vendor_files, "LIBRARIES", vendor_files.VendorFiles(tmp_path, vendor_files.FILES))
    status, found, _ = doctor()
    assert status == 1
    assert "uplot.min.js" in found["dashboard"]["found"]
    assert "make setup" in found["dashboard"]["advice"]


def test_all_is_well(platform: Platform, doctor: Doctor) -> None:
    status, found, errors = doctor()
    assert (status, errors) == (0, "")
    assert all(check["fine"] for check in found.values())
    assert [*found] == [
        *("Python", "uv", "interpreters", "data directory", "disk", "dashboard"),
        *("server", "ready", "token", "registry"),
    ]
    assert "3.1" in found["interpreters"]["found"]
    assert found["server"]["found"] == f"answers at {platform.url}"
    assert found["registry"]["found"] == "external, by the server's settings"


def test_the_embedded_registry_answers(platform_with_registry: Platform, doctor: Doctor) -> None:
    status, found, _ = doctor()
    assert (status, found["registry"]["found"]) == (0, f"answers at {platform_with_registry.url}/mlflow")


def test_a_registry_that_is_away(platform: Platform) -> None:
    platform._registry_socket = platform.data_dir / "nobody.sock"
    platform.stop()
    again = Platform(platform.data_dir, platform.data_dir / "nobody.sock")
    again.start()
    with Client(Server(again.url, again.data_dir, "the-administrators-token")) as client:
        found = {check.subject: check for check in checks.server(client, Settings())}
    again.stop()
    assert found["registry"].advice == "The registry cannot be reached at the moment. Try again in a second."


def test_no_server(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    Path("tidegate.toml").write_text(f"[server]\nport = {port}\n")
    status, found, errors = doctor("--url", f"http://127.0.0.1:{port}")
    assert (status, errors) == (1, "These checks failed: server.\n")
    assert found["server"]["advice"].startswith("No Tidegate answers at http://127.0.0.1:")
    assert found["port"]["found"] == f"127.0.0.1:{port} is free"
    assert "token" not in found


def test_a_port_that_is_taken(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with Client(Server("http://127.0.0.1:1", Path(), "")) as client:
            settings = Settings(server=ServerSettings(port=port))
            found = {check.subject: check for check in checks.server(client, settings)}
    assert found["port"].advice.startswith(f"Port {port} on 127.0.0.1 is taken by another program.")


def test_a_port_that_this_data_directorys_own_platform_has(platform: Platform) -> None:
    settings = Settings(server=ServerSettings(port=int(platform.url.rpartition(":")[2])))
    with Client(Server("http://127.0.0.1:1", platform.data_dir, "")) as client:
        found = {check.subject: check for check in checks.server(client, settings)}
    assert found["port"].fine
    assert found["port"].found.endswith(f"belongs to this data directory's own Tidegate, at {platform.url}")


def test_a_platform_that_is_recorded_and_gone_has_no_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (tmp_path / "server.json").write_text(json.dumps({"url": f"http://127.0.0.1:{port}"}))
    with Client(Server("http://127.0.0.1:1", tmp_path, "")) as client:
        found = {c.subject: c for c in checks.server(client, Settings(server=ServerSettings(port=port)))}
    assert found["port"].found == f"127.0.0.1:{port} is free"


def test_a_wrong_token(platform: Platform, doctor: Doctor) -> None:
    status, found, errors = doctor("--token", "wrong")
    assert (status, errors) == (1, "These checks failed: token.\n")
    assert found["token"]["advice"] == "The token is not valid."
    assert "registry" not in found


def test_settings_that_cannot_be_used(platform: Platform, doctor: Doctor) -> None:
    Path("tidegate.toml").write_text("[server]\nprot = 1\n")
    status, found, _ = doctor()
    assert status == 1
    assert found["settings"]["advice"].startswith("There is no setting 'server.prot'")


def test_too_little_disk(platform: Platform, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_ENOUGH_BYTES", 1e18)
    status, found, errors = doctor()
    assert (status, errors) == (1, "These checks failed: disk.\n")
    assert "GB free" in found["disk"]["found"]
    assert found["disk"]["advice"].startswith("Free some")


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = {c.subject: c for c in checks.machine(Settings(), DataDirectory(tmp_path / "file" / "data"))}
    assert found["data directory"].advice == (
        f"{tmp_path / 'file'} cannot be written to by this user. Choose another --data-dir."
    )


def test_uv_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError

    monkeypatch.setattr("uv.find_uv_bin", nowhere)
    found = {c.subject: c for c in checks.machine(Settings(), DataDirectory(tmp_path))}
    assert found["uv"].advice.startswith("Install it")
    assert not found["interpreters"].fine


def test_on_a_terminal_it_is_a_table_with_signs(platform: Platform) -> None:
    terminal = Terminal("doctor", "--token", "wrong")
    assert terminal.end(60) == 1
    assert "✓" in terminal.shown
    assert "✗" in terminal.shown
    assert "The token is not valid." in terminal.shown


def test_it_makes_nothing(doctor: Doctor) -> None:
    doctor("--url", "http://127.0.0.1:1")
    assert list(Path().iterdir()) == []
