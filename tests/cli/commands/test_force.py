"""`tidegate force`, and `tidegate update --force`."""

from tests.cli.conftest import Cli
from tests.cli.platform import Platform
from tidegate.core.rollout.replay import Findings


def holds_back(platform: Platform) -> None:
    """An endpoint of version 1, whose gate lets nothing through."""
    platform.have()
    platform.house.gateway.finds = lambda replay: Findings(replay.id, requests=9, errors=1, error="No.")


def test_what_was_held_back_serves(platform: Platform, cli: Cli) -> None:
    holds_back(platform)
    assert cli("update", "wine", "models:/wine/2").exit_code == 1
    done = cli("force", "wine")
    assert (done.exit_code, done.stdout) == (0, "Endpoint 'wine' serves models:/wine/2.\n")
    assert "Configuration 3 (wine/2) is being prepared. The gate is skipped." in done.stderr
    assert platform.served("wine")[0].name == "wine-2"
    assert cli("gate", "wine").stdout == "The gate is `safe`.\n\nThe newest version was forced, under `safe`.\n"


def test_where_nothing_is_held_back(platform: Platform, cli: Cli) -> None:
    platform.have()
    done = cli("force", "wine")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("The gate holds back nothing of endpoint 'wine'")
    assert "There is no endpoint 'tea'." in cli("force", "tea").stderr


def test_an_update_past_the_gate(platform: Platform, cli: Cli) -> None:
    holds_back(platform)
    done = cli("update", "wine", "models:/wine/2", "--force")
    assert (done.exit_code, done.stdout) == (0, "Endpoint 'wine' serves models:/wine/2.\n")
    assert cli("update", "wine", "models:/wine/3").exit_code == 1  # the next one is tried
