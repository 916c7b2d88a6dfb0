"""`tidegate query`."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import TIDEGATE, Cli, Terminal
from tests.cli.platform import EXAMPLE, Platform
from tidegate.core.errors import BadRequest

PATH = "/serving-endpoints/wine/invocations"
ROW = '{"inputs": [[1]]}'


def test_a_file_is_sent_as_it_is_and_the_answer_printed_raw(platform: Platform, cli: Cli) -> None:
    platform.have()
    Path("row.json").write_text(ROW)
    done = cli("query", "wine", "--data", "row.json")
    assert (done.exit_code, done.stdout, done.stderr) == (0, '{"predictions": [1]}\n', "")
    assert platform.requests == [(PATH, "application/json", ROW.encode())]


def test_csv(platform: Platform, cli: Cli) -> None:
    platform.have()
    Path("rows.CSV").write_text("a\n1\n")
    assert cli("query", "wine", "--data", "rows.CSV").exit_code == 0
    assert platform.requests == [(PATH, "text/csv", b"a\n1\n")]


def test_standard_input(platform: Platform, cli: Cli) -> None:
    platform.have()
    assert cli("query", "wine", data=ROW).exit_code == 0
    assert cli("query", "wine", "--data", "-", data=ROW).exit_code == 0
    assert platform.requests == [(PATH, "application/json", ROW.encode())] * 2


@pytest.mark.parametrize("nothing", ["", " \n"])
def test_without_a_request_on_a_pipe_the_models_example_is_sent(platform: Platform, cli: Cli, nothing: str) -> None:
    platform.have()
    done = cli("query", "wine", data=nothing)
    assert (done.exit_code, done.stdout) == (0, '{"predictions": [1]}\n')
    assert done.stderr == "Without --data, the model's own example is sent.\n"
    ((_, _, body),) = platform.requests
    assert json.loads(body) == EXAMPLE


def test_without_a_request_and_without_an_example(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.run(platform.house.update("2"))
    platform.wait_for_update("wine")
    done = cli("query", "wine")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "The model of endpoint 'wine' has no example. Name a request with --data FILE.\n"


def test_a_closed_standard_input(platform: Platform) -> None:
    """Every command that looks at it: Python has none then."""
    platform.have()
    for words, status, said in (
        (("query", "wine"), 0, "own example is sent"),
        (("delete", "wine"), 1, "cannot ask without a terminal"),
        (("list", "--token-file", "-"), 1, "Standard input has no token."),
    ):
        line = shlex.join([*TIDEGATE, *words])
        done = subprocess.run(["sh", "-c", f"{line} <&-"], capture_output=True, text=True, timeout=60)
        assert (done.returncode, said in done.stderr) == (status, True), done.stderr


def test_an_empty_request_that_is_named(platform: Platform, cli: Cli) -> None:
    platform.have()
    done = cli("query", "wine", "--data", "-")
    assert done.exit_code == 1
    assert done.stderr == "Standard input is empty. Pipe a request into the command, or name a file with --data.\n"
    Path("row.json").touch()
    assert cli("query", "wine", "--data", "row.json").exit_code == 0
    assert [body for _, _, body in platform.requests] == [b""]


def test_a_file_that_is_not_there(platform: Platform, cli: Cli) -> None:
    done = cli("query", "wine", "--data", "row.json")
    assert (done.exit_code, done.stderr) == (1, "row.json cannot be read: No such file or directory.\n")


def test_the_servers_sentence(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.error = BadRequest('row 3, column "age": expected double')
    done = cli("query", "wine", data=ROW)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", 'row 3, column "age": expected double\n')
    assert cli("query", "tea", data=ROW).stderr.startswith("There is no endpoint 'tea'. See `tidegate list`")


def test_an_answer_that_is_not_json(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.answer = b"<html>"
    done = cli("query", "wine", data=ROW)
    assert done.exit_code == 1
    assert "is not Tidegate" in done.stderr


def test_on_a_terminal_the_models_example_is_sent_and_the_answer_laid_out(platform: Platform) -> None:
    platform.have()
    terminal = Terminal("query", "wine")
    assert terminal.end() == 0
    assert "Without --data, the model's own example is sent." in terminal.shown
    assert '"predictions"' in terminal.shown
    assert terminal.shown.count("\n") > 3
    ((_, _, body),) = platform.requests
    assert json.loads(body) == EXAMPLE


def test_on_a_terminal_without_an_example(platform: Platform) -> None:
    platform.have()
    platform.run(platform.house.update("2"))
    platform.wait_for_update("wine")
    terminal = Terminal("query", "wine")
    assert terminal.end() == 1
    assert "The model of endpoint 'wine' has no example. Name a request with --data FILE." in terminal.shown
