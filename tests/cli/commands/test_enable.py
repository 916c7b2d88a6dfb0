"""`tidegate enable`, `tidegate disable` and `tidegate enabled`."""

import json

from tests.cli.conftest import Cli
from tests.cli.platform import Platform


def aligned(platform: Platform) -> None:
    """Let the endpoints of enabled models come or go."""
    platform.run(platform.house.follower.run_once())


def test_a_model_is_served_by_its_stages_until_it_is_not(platform: Platform, cli: Cli) -> None:
    platform.house.registry.models["wine"].versions["1"].stage = "Production"
    done = cli("enable", "wine")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Model 'wine' is enabled" in done.stdout
    aligned(platform)
    assert "serverless-wine-production" in cli("list").stdout
    assert cli("disable", "wine").exit_code == 0
    assert "serverless-wine" not in cli("list").stdout


def test_the_product_may_be_named(platform: Platform, cli: Cli) -> None:
    assert cli("enable", "wine", "--product", "classic").exit_code == 0
    aligned(platform)
    assert "classic-wine-3" in cli("list").stdout
    done = cli("delete", "classic-wine-3", "--yes")
    assert done.exit_code == 1
    assert "`tidegate disable wine --product classic`" in done.stderr
    assert cli("disable", "wine").exit_code == 1
    assert cli("disable", "wine", "--product", "classic").exit_code == 0


def test_what_is_enabled_is_shown_with_its_product(platform: Platform, cli: Cli) -> None:
    done = cli("enabled")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "`tidegate enable MODEL`" in done.stderr
    platform.house.builder.gate.clear()  # nothing gets ready
    platform.house.registry.models["wine"].versions["1"].stage = "Production"
    cli("enable", "wine")
    cli("enable", "wine", "--product", "classic")
    columns, *rows = cli("enabled").stdout.splitlines()
    assert columns.split("\t") == ["MODEL", "PRODUCT", "STATE", "MESSAGE"]
    assert [row.split("\t")[:3] for row in rows] == [
        ["wine", "serverless", "pending"],
        ["wine", "classic", "pending"],
    ]
    shown = json.loads(cli("enabled", "-o", "json").stdout)
    assert [(one["product"], one["state"]) for one in shown] == [
        ("serverless", "ENDPOINT_STATE_PENDING"),
        ("classic", "ENDPOINT_STATE_PENDING"),
    ]


def test_a_model_that_is_not_there_is_named(platform: Platform, cli: Cli) -> None:
    done = cli("enable", "tea")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "The registry has no model 'tea'" in done.stderr
