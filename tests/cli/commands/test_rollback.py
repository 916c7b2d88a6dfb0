"""`tidegate rollback`."""

from tests.cli.conftest import Cli
from tests.cli.platform import Platform


def updated(platform: Platform) -> None:
    """An endpoint that was updated from version 1 to 2 of its model."""
    platform.have()
    platform.run(platform.house.update("2"))
    platform.wait_for_update("wine")


def test_what_served_before_serves(platform: Platform, cli: Cli) -> None:
    updated(platform)
    done = cli("rollback", "wine")
    assert (done.exit_code, done.stdout) == (0, "Endpoint 'wine' serves models:/wine/1.\n")
    assert "Configuration 1 (wine/1) serves again, in place of Configuration 2 (wine/2)." in done.stderr
    assert platform.served("wine")[0].name == "wine-1"


def test_an_update_on_its_way_is_taken_back(platform: Platform, cli: Cli) -> None:
    updated(platform)
    platform.hold_builds()
    assert cli("update", "wine", "models:/wine/3", "--no-wait").exit_code == 0
    done = cli("rollback", "wine")
    assert (done.exit_code, done.stdout) == (0, "Endpoint 'wine' serves models:/wine/2.\n")
    assert "The update was taken back before it served; configuration 2 goes on." in done.stderr
    platform.release_builds()


def test_where_there_is_nothing_to_go_back_to(platform: Platform, cli: Cli) -> None:
    platform.have()
    done = cli("rollback", "wine")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "Endpoint 'wine' has nothing to roll back to: no configuration has served before the present one.\n"
    )
    assert "There is no endpoint 'tea'. See `tidegate list`" in cli("rollback", "tea").stderr
