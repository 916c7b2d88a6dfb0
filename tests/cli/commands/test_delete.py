"""`tidegate delete`."""

import pytest

from tests.cli.conftest import Cli, Terminal
from tests.cli.platform import Platform


def names(cli: Cli) -> str:
    return cli("list").stdout


def test_without_a_terminal_it_wants_yes(platform: Platform, cli: Cli) -> None:
    platform.have()
    done = cli("delete", "wine")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Endpoint 'wine' was not deleted: the command cannot ask without a terminal. Give --yes.\n"
    assert "wine" in names(cli)
    done = cli("delete", "wine", "--yes")
    assert (done.exit_code, done.stdout) == (0, "Endpoint 'wine' is deleted.\n")
    assert names(cli) == ""


@pytest.mark.parametrize(("said", "status", "left"), [("y\n", 0, False), ("n\n", 1, True), ("\x04", 1, True)])
def test_on_a_terminal_it_asks(platform: Platform, cli: Cli, said: str, status: int, left: bool) -> None:
    platform.have()
    terminal = Terminal("delete", "wine")
    terminal.wait_for("Delete endpoint 'wine'?")
    terminal.type(said)
    assert terminal.end() == status
    assert ("wine" in names(cli)) is left


def test_yes_is_not_asked_again(platform: Platform, cli: Cli) -> None:
    platform.have()
    assert Terminal("delete", "wine", "--yes").end() == 0
    assert names(cli) == ""


def test_nobody_is_asked_about_what_is_not_there(platform: Platform, cli: Cli) -> None:
    terminal = Terminal("delete", "wine")
    assert terminal.end() == 1
    assert terminal.shown.startswith("There is no endpoint 'wine'.")
    assert cli("delete", "wine", "--yes").exit_code == 1
