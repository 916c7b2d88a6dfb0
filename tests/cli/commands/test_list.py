"""`tidegate list`."""

import json

from tests.cli.conftest import Cli, Terminal
from tests.cli.platform import Platform
from tests.control.house import an_entity


def test_without_endpoints_it_says_how_to_make_one(platform: Platform, cli: Cli) -> None:
    done = cli("list")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "There are no endpoints yet. Make one with `tidegate launch models:/NAME/VERSION`.\n"


def test_on_a_pipe_fields_are_separated_by_tabs(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.hold_builds()
    platform.run(platform.house.create("two", an_entity("2", "a"), an_entity("3", "b")))
    header, first, second = (line.split("\t") for line in cli("list").stdout.splitlines())
    assert header == ["NAME", "STATE", "REPLICAS", "MODELS", "UPDATED"]
    assert first[:4] == ["two", "Not ready (updating)", "0", "wine/2, wine/3"]
    assert second[:4] == ["wine", "Ready", "1", "wine/1"]
    assert second[4].startswith("2023-11-1")  # the fake clock's day, in any zone


def test_as_json(platform: Platform, cli: Cli) -> None:
    assert json.loads(cli("list", "-o", "json").stdout) == []
    platform.have()
    (endpoint,) = json.loads(cli("list", "-o", "json").stdout)
    assert endpoint["name"] == "wine"
    assert endpoint["state"]["ready"] == "READY"


def test_on_a_terminal_it_is_a_table(platform: Platform) -> None:
    platform.have()
    terminal = Terminal("list")
    assert terminal.end() == 0
    assert "\t" not in terminal.shown
    assert "wine/1" in terminal.shown
