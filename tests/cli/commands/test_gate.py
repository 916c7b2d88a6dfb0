"""`tidegate gate`, and what an update says that the gate held back."""

import json

import pytest

from tests.cli.conftest import Cli
from tests.cli.platform import Platform
from tidegate.core.rollout.replay import Findings, Memory, Replay, Times

KINDS = {"predictions[]": frozenset({"float"})}


def whole(replay: Replay) -> Findings:
    """All that can be found, and nothing wrong."""
    return Findings(
        replay.id,
        requests=500,
        compared=496,
        exact=480,
        close=10,
        changed=6,
        before=KINDS,
        after=KINDS,
        baseline=Times(0.00041, 9),
        candidate=Times(0.00043, 9),
        memory=Memory(181_000_000, (180_000_000, 182_000_000)),
        seconds=0.314,
    )


def nothing(replay: Replay) -> Findings:
    return Findings(replay.id)


def unavailable(replay: Replay) -> Findings:
    return Findings(replay.id, unavailable="No replica came up.")


def errors(replay: Replay) -> Findings:
    return Findings(replay.id, requests=9, errors=4, error="ValueError: negative sulphates.")


def test_before_any_update(platform: Platform, cli: Cli) -> None:
    platform.have()
    done = cli("gate", "wine")
    assert (done.exit_code, done.stdout) == (0, "The gate is `safe`.\nIt has not compared any version yet.\n")


def test_what_passed_is_shown_with_its_figures(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.house.gateway.finds = whole
    assert cli("update", "wine", "models:/wine/2").exit_code == 0
    lines = cli("gate", "wine").stdout.splitlines()
    assert lines[:4] == ["The gate is `safe`.", "", "The newest version passed, under `safe`.", ""]
    told = dict(line.split("\t") for line in lines[4:])
    latency, memory = "0.41 ms → 0.43 ms", "181 MB → 182 MB"
    assert list(told) == ["", "replayed", "failed", "compared", "changed", "new nulls", "schema", "latency", "memory"]
    assert list(told.values()) == ["wine-2", "500 in 0.31 s", "0", "496", "6", "0", "same", latency, memory]


def test_nothing_is_shown_of_what_was_not_compared(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.house.gateway.finds = nothing
    assert cli("update", "wine", "models:/wine/2").exit_code == 0
    sentence = "The newest version was not compared: no requests were recorded."
    assert cli("gate", "wine").stdout == f"The gate is `safe`.\n\n{sentence}\n"
    platform.house.gateway.finds = unavailable
    assert cli("update", "wine", "models:/wine/1").exit_code == 1
    reason = "it could not be tried: No replica came up"
    assert cli("gate", "wine").stdout == (
        f"The gate is `safe`.\n\nThe newest version was held back, under `safe`.\n- {reason}.\n"
    )


def test_a_version_that_is_held_back_says_why_and_what_can_be_done(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.house.gateway.finds = errors
    done = cli("update", "wine", "models:/wine/2")
    sentence = "4 of 9 replayed requests failed that were answered before: ValueError: negative sulphates"
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.endswith(
        f"The gate holds it back: {sentence}.\n"
        "Endpoint 'wine' goes on with what it serves, so there is nothing to roll back. "
        "`tidegate gate wine` shows the figures. "
        "If the change is intended, `tidegate force wine` switches to it.\n"
    )
    assert done.stderr.count(sentence) == 1
    assert "Log of" not in done.stderr  # the logs have nothing to say about it
    shown = cli("gate", "wine").stdout
    assert f"\nThe newest version was held back, under `safe`.\n- {sentence}.\n\n\twine-2\nreplayed" in shown
    assert platform.served("wine")[0].name == "wine-1"


def test_json(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.house.gateway.finds = errors
    cli("update", "wine", "models:/wine/2")
    shown = json.loads(cli("gate", "wine", "--output", "json").stdout)
    assert shown["policy"] == {"mode": "safe", "max_changed_share": 0.05, "record": True}
    assert shown["report"]["served_entities"]["wine-2"]["errors"]["count"] == 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--mode", "off"], "The gate is `off`."),
        (["--mode", "strict"], "The gate is `strict`: at most 5 % of the answers may change."),
        (
            ["--mode", "strict", "--max-changed-share", "0.01"],
            "The gate is `strict`: at most 1 % of the answers may change.",
        ),
        (["--no-record"], "The gate is `safe`; no requests are recorded, so it compares nothing."),
    ],
)
def test_it_is_changed(platform: Platform, cli: Cli, options: list[str], told: str) -> None:
    platform.have()
    assert cli("gate", "wine", *options).stdout.splitlines()[0] == told
    assert cli("gate", "wine").stdout.splitlines()[0] == told


def test_what_is_left_out_stays(platform: Platform, cli: Cli) -> None:
    platform.have()
    cli("gate", "wine", "--mode", "strict", "--no-record")
    shown = json.loads(cli("gate", "wine", "--record", "--output", "json").stdout)
    assert shown["policy"] == {"mode": "strict", "max_changed_share": 0.05, "record": True}


def test_nonsense_is_refused(platform: Platform, cli: Cli) -> None:
    platform.have()
    for options in (["--mode", "lenient"], ["--max-changed-share", "1.5"]):
        assert cli("gate", "wine", *options).exit_code == 2
    assert cli("gate", "wine").stdout.startswith("The gate is `safe`.\n")


def test_of_no_endpoint(platform: Platform, cli: Cli) -> None:
    done = cli("gate", "tea")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("There is no endpoint 'tea'.")
