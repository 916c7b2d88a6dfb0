"""`tidegate show`."""

import json

from tests.cli.conftest import Cli
from tests.cli.platform import Platform
from tests.control.house import an_entity
from tidegate.cli.output import local_time
from tidegate.settings import RolloutSettings


def test_an_endpoint_that_serves(platform: Platform, cli: Cli) -> None:
    platform.have()
    shown = cli("show", "wine").stdout.splitlines()
    assert shown[0] == "wine: Ready"
    assert shown[1] == f"{platform.url}/serving-endpoints/wine/invocations"
    assert shown[2].endswith(shown[2].split("updated ")[1])
    assert "by admin" in shown[2]
    at = shown.index("Serving:")
    assert shown[at + 2].split("\t") == ["wine-1", "wine/1", "Small", "no", "100 %", "ready", ""]
    assert shown[-3:-1] == ["Replicas:", "ID\tNAME\tSTATE\tSTARTED\tBY\tMEMORY\tCPU"]
    _, name, state, _, start, memory, _ = shown[-1].split("\t")
    assert (name, state, start, memory) == ("wine-1", "ready", "spawn", "")


def test_an_endpoint_that_changes(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.hold_builds()
    platform.run(platform.house.update("2"))
    shown = cli("show", "wine").stdout
    assert shown.startswith("wine: Ready (updating)")
    serving, coming = shown.split("On its way:")
    assert "wine-1\t" in serving
    assert "wine-2\t" in coming
    assert "\tcreating\t" in coming


def test_an_endpoint_that_follows(platform: Platform, cli: Cli) -> None:
    house = platform.house
    house.registry.models["wine"].aliases["champion"] = "1"
    platform.run(house.create("wine", an_entity("@champion")))
    platform.wait_for_update("wine")
    sentence = "'wine-champion' follows '@champion' of model 'wine'; here it is version 1."
    assert sentence in cli("show", "wine").stdout.splitlines()
    platform.hold_builds()
    house.registry.models["wine"].aliases["champion"] = "2"
    platform.run(house.follower.run_once())
    serving, coming = cli("show", "wine").stdout.split("On its way:")
    assert sentence in serving.splitlines()
    assert sentence.replace("version 1", "version 2") in coming.splitlines()
    del house.registry.models["wine"].aliases["champion"]
    platform.run(house.follower.run_once())
    assert f"{sentence} That points nowhere now, so nothing changes." in cli("show", "wine").stdout.splitlines()


def test_an_alias_whose_version_was_rolled_back(platform: Platform, cli: Cli) -> None:
    house = platform.house
    house.registry.models["wine"].aliases["champion"] = "1"
    platform.run(house.create("wine", an_entity("@champion")))
    platform.wait_for_update("wine")
    house.registry.models["wine"].aliases["champion"] = "2"
    platform.run(house.follower.run_once())
    platform.wait_for_update("wine")
    platform.run(house.endpoints.rollback("wine"))
    platform.wait_for_update("wine")
    follows = "'wine-champion' follows '@champion' of model 'wine'; here it is version 1."
    but = "A rollback took away what that means now, so nothing changes until it moves."
    assert f"{follows} {but}" in cli("show", "wine").stdout.splitlines()


def test_what_is_parked_is_told_and_until_when(platform: Platform, cli: Cli) -> None:
    platform.have()
    assert "Parked" not in cli("show", "wine").stdout
    platform.run(platform.house.update("2"))
    platform.wait_for_update("wine")
    told = "Parked: models:/wine/1, without replicas. `tidegate rollback wine` brings it back."
    assert told in cli("show", "wine").stdout.splitlines()
    platform.house.endpoints._rollouts = RolloutSettings(park_seconds=600.0)
    until = local_time(1000 * round(platform.house.clock.now() + 600))
    told = f"Parked: models:/wine/1, with its replicas until {until}. `tidegate rollback wine` brings it back."
    assert told in cli("show", "wine").stdout.splitlines()


def test_an_update_that_failed(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.house.builder.fault = platform.no_build
    platform.run(platform.house.update("2"))
    platform.wait_for_update("wine")
    shown = cli("show", "wine").stdout
    assert shown.startswith("wine: Ready (update failed)")
    assert platform.no_build.message in shown
    serving, failed = shown.split("Failed:")
    assert "wine-1\t" in serving
    assert "wine-2\t" in failed


def test_what_has_never_served_is_not_shown_as_serving(platform: Platform, cli: Cli) -> None:
    platform.house.builder.fault = platform.no_build
    platform.run(platform.house.create("wine"))
    platform.wait_for_update("wine")
    shown = cli("show", "wine").stdout
    assert shown.startswith("wine: Not ready (failed)")
    assert shown.count(platform.no_build.message) == 1
    assert "Not ready (failed)" in cli("list").stdout
    assert "Serving:" not in shown
    assert "Failed:" in shown


def test_as_json_it_is_the_apis_own(platform: Platform, cli: Cli) -> None:
    platform.have()
    shown = json.loads(cli("show", "wine", "-o", "json").stdout)
    assert shown["config"]["served_entities"][0]["entity_version"] == "1"
