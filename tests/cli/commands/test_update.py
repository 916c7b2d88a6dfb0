"""`tidegate update`."""

from dataclasses import replace

import pytest

from tests.cli.conftest import Cli
from tests.cli.platform import Platform
from tests.control.house import an_entity
from tidegate.cli.commands.update import with_model
from tidegate.cli.endpoint_view import Json
from tidegate.core.endpoint.served_entity import Batching, ModelRef


def test_the_model_changes(platform: Platform, cli: Cli) -> None:
    platform.have()
    done = cli("update", "wine", "models:/wine/2")
    assert (done.exit_code, done.stdout) == (0, "Endpoint 'wine' serves models:/wine/2.\n")
    (entity,) = platform.served("wine")
    assert (entity.name, entity.resolved.version) == ("wine-2", "2")


def test_settings_stay_and_a_name_of_its_own_too(platform: Platform, cli: Cli) -> None:
    before = replace(
        an_entity("1", "champion"),
        workload_size="Large",
        scale_to_zero_enabled=True,
        min_provisioned_concurrency=2,
        max_provisioned_concurrency=3,
        environment_vars=(("A", "b"),),
        idle_timeout_seconds=60.0,
        batching=Batching.OFF,
        timeout_seconds=5.0,
        retry_on_crash=False,
    )
    platform.run(platform.house.create("wine", before))
    platform.wait_for_update("wine")
    assert cli("update", "wine", "models:/wine/2").exit_code == 0
    (after,) = platform.served("wine")
    assert after.resolved.version == "2"
    assert replace(after, model=before.model, resolved=before.resolved) == before


def test_what_happened_before_is_not_told_again(platform: Platform, cli: Cli) -> None:
    platform.have()
    told = cli("update", "wine", "models:/wine/2").stderr
    assert "Configuration 2 (wine/2) serves." in told
    assert "was created" not in told
    assert "Configuration 1 (wine/1) serves." not in told


def test_no_wait(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.hold_builds()
    done = cli("update", "wine", "models:/wine/2", "--no-wait")
    assert (done.exit_code, done.stdout) == (0, "Endpoint 'wine' is being updated to models:/wine/2.\n")
    again = cli("update", "wine", "models:/wine/3")
    assert (again.exit_code, again.stderr) == (
        1,
        "Endpoint 'wine' is being updated. Wait until the update has ended.\n",
    )
    platform.release_builds()


def test_what_failed_can_be_mended(platform: Platform, cli: Cli) -> None:
    platform.house.builder.fault = platform.no_build
    assert cli("launch", "models:/wine/1").exit_code == 1
    platform.house.builder.fault = None
    assert cli("update", "wine", "models:/wine/2").exit_code == 0


def test_a_failed_update_says_why_and_leaves_what_serves(platform: Platform, cli: Cli) -> None:
    platform.have()
    platform.house.builder.fault = platform.no_build
    done = cli("update", "wine", "models:/wine/2")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{platform.no_build.message}\nEndpoint 'wine' goes on with what it served before.\n" in done.stderr
    assert "Build log of 'wine-2', its end:" in done.stderr
    assert platform.served("wine")[0].name == "wine-1"


def test_several_entities_are_not_guessed_among(platform: Platform, cli: Cli) -> None:
    platform.run(platform.house.create("two", an_entity("1", "a"), an_entity("2", "b")))
    platform.wait_for_update("two")
    done = cli("update", "two", "models:/wine/3")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "Endpoint 'two' serves 2 entities (a, b), but `update` changes only one. "
        "Send the whole configuration to PUT /api/2.0/serving-endpoints/two/config instead.\n"
    )


def test_of_no_endpoint(platform: Platform, cli: Cli) -> None:
    done = cli("update", "tea", "models:/wine/2")
    assert (done.exit_code, done.stderr) == (
        1,
        "There is no endpoint 'tea'. See `tidegate list`, or make one with `tidegate launch`.\n",
    )


@pytest.mark.parametrize(("name", "kept"), [("wine-champion", False), ("wine-1", True)])
def test_a_name_that_came_from_the_model_goes_with_it(name: str, kept: bool) -> None:
    entity: Json = {
        "name": name,
        "entity_name": "wine",
        "entity_version": "@champion",
        "state": {},
        "workload_type": None,
    }
    changed = with_model(entity, ModelRef("wine", "2"))
    assert changed == {"entity_name": "wine", "entity_version": "2", **({"name": name} if kept else {})}
