"""`tidegate up`: from options to the supervisor. That it then serves is shown end to end."""

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, run
from tidegate import supervisor
from tidegate.core.errors import ConfigurationError
from tidegate.settings import Settings


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, bool]]:
    """What the supervisor is asked to run; it ends at once with status 3."""
    asked: list[tuple[Settings, bool]] = []

    def note(settings: Settings, sample: bool) -> int:
        asked.append((settings, sample))
        return 3

    monkeypatch.setattr(supervisor, "run", note)
    return asked


def test_every_option_is_a_setting(cli: Cli, supervised: list[tuple[Settings, bool]]) -> None:
    done = cli(
        *("up", "--host", "0.0.0.0", "--port", "8081", "--data-dir", "d", "--gateways", "2", "--engine", "local"),
        *("--registry-uri", "http://r", "--store-uri", "postgresql://s", "--sample"),
    )
    assert done.exit_code == 3
    ((settings, sample),) = supervised
    server = settings.server
    assert (server.host, server.port, server.data_dir, server.gateways) == ("0.0.0.0", 8081, Path("d"), 2)
    assert (settings.registry.uri, settings.store.uri, sample) == ("http://r", "postgresql://s", True)


def test_without_options_it_is_as_the_environment_and_the_file_say(
    cli: Cli, supervised: list[tuple[Settings, bool]]
) -> None:
    Path("tidegate.toml").write_text("[server]\nport = 1\ngateways = 3\n")
    cli("up", env={"TIDEGATE_SERVER__PORT": "2"})
    Path("other.toml").write_text("[server]\nport = 4\n")
    cli("up", "--config", "other.toml")
    assert [(s.server.port, s.server.gateways, sample) for s, sample in supervised] == [(2, 3, False), (4, 1, False)]


@pytest.mark.parametrize(
    ("args", "toml", "sentence"),
    [
        (["--port", "70000"], "", "server.port must be from 0 to 65535."),
        (["--engine", "ray"], "", "engine.kind must be 'local'."),
        (["--config", "no.toml"], "", "The settings file no.toml cannot be read: No such file or directory."),
        ([], "[server", "The settings file tidegate.toml is not valid TOML"),
        ([], "[server]\nprot = 1", "There is no setting 'server.prot'"),
    ],
)
def test_settings_that_cannot_be_used(cli: Cli, args: list[str], toml: str, sentence: str) -> None:
    if toml:
        Path("tidegate.toml").write_text(toml)
    done = cli("up", *args)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_what_the_supervisor_cannot_have(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise ConfigurationError("The data directory is in use.")

    monkeypatch.setattr(supervisor, "run", refuse)
    done = cli("up")
    assert (done.exit_code, done.stderr) == (1, "The data directory is in use.\n")


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run("up", "--port", str(port), "--data-dir", "data")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Port {port} on 127.0.0.1 is taken by another program. End that one, or choose another port with --port or "
        "TIDEGATE_SERVER__PORT.\n"
    )
    assert not Path("data").exists()
