"""The command as a whole: exit statuses, start-up, and what is never shown."""

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import Cli, Terminal, run, started
from tests.cli.platform import Platform
from tidegate import __version__

VERBS = ("up", "launch", "query", "list", "show", "logs", "update", "delete", "events", "doctor")


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tidegate {__version__}\n", "")


def test_nothing_heavy_is_imported_to_answer_at_once() -> None:
    heavy = ("mlflow", "pandas", "numpy", "httpx", "rich", "fastapi", "sqlalchemy", "asyncio")
    script = f"""
import sys
from tidegate.cli.app import app
for args in [["--version"], ["--help"], *([verb, "--help"] for verb in {VERBS})]:
    try:
        app(args)
    except SystemExit as end:
        assert end.code == 0
print([name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"


def test_help_names_every_verb(cli: Cli) -> None:
    shown = cli("--help").stdout
    assert all(f"  {verb} " in shown for verb in VERBS)


def test_help_shortens_nothing_and_says_what_an_argument_is(cli: Cli) -> None:
    assert "..." not in cli("--help").stdout.partition("Commands:")[2]
    for verb in ("query", "show", "logs", "update", "delete", "events"):
        shown = cli(verb, "--help").stdout
        assert re.search(r"^  ENDPOINT .* The endpoint's name", shown, re.MULTILINE), shown


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["show"],
        ["list", "--nonsense"],
        ["list", "-o", "yaml"],
        ["launch"],
        ["launch", "models:/wine/1", "--size", "Huge"],
        ["launch", "wine"],
        ["up", "--port", "eighty"],
    ],
)
def test_wrong_usage_exits_2(cli: Cli, args: list[str]) -> None:
    done = cli(*args)
    assert done.exit_code == 2
    assert "Usage: tidegate" in done.stderr
    assert done.stdout == ""


def test_an_expected_failure_is_a_sentence_on_standard_error(platform: Platform) -> None:
    done = run("show", "nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "There is no endpoint 'nothing'. See `tidegate list`, or make one with `tidegate launch`.\n"


def test_an_impossible_name_is_refused_here(cli: Cli) -> None:
    done = cli("show", "../x")
    assert done.exit_code == 1
    assert done.stderr.startswith("'../x' cannot name the endpoint")


def test_ctrl_c_exits_130_quietly(platform: Platform) -> None:
    platform.have()
    platform.print_from_a_replica("hello\n")
    with started("logs", "wine", "--follow") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "hello\n"
        following.send_signal(signal.SIGINT)
        _, errors = following.communicate(timeout=20)
    assert (following.returncode, errors) == (130, "")


def test_ctrl_c_on_a_terminal_gives_the_cursor_back(platform: Platform) -> None:
    platform.hold_builds()
    terminal = Terminal("launch", "models:/wine/1")
    terminal.wait_for("are being prepared")
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown
    assert "\x1b[?25h" in terminal.shown
    platform.release_builds()
