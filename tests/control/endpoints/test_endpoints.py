"""The verbs: what they accept, what they refuse and with which sentence."""

import asyncio

import pytest

from tests.control.house import House, a_request, an_entity
from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.control.endpoints.log_tail import MAX_LOG_BYTES
from tidegate.core.endpoint.endpoint import Route
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.errors import AlreadyExists, Conflict, InvalidParameter, NotFound, Unavailable


async def test_create_returns_at_once_with_the_exact_version(house: House) -> None:
    house.registry.models["wine"].aliases["champion"] = "2"
    view = await house.create("wine", an_entity("@champion"))
    assert view.endpoint.pending is not None
    (entity,) = view.endpoint.pending.config.served_entities
    assert entity.resolved == ModelVersion("wine", "2", registered_at=2)
    assert view.endpoint.pending.config.version == 1
    assert view.endpoint.active is None


async def test_configuration_versions_count_up_even_over_failures(house: House) -> None:
    await house.create()
    await house.settle()
    house.engine.broken["wine-2"] = "It does not load."
    await house.update("2")
    await house.settle()
    view = await house.update("3")
    assert view.endpoint.pending is not None
    assert view.endpoint.pending.config.version == 3


@pytest.mark.parametrize(
    ("version", "error"), [("9", "9 is not there"), ("@nobody", "@nobody"), ("Production", "Production")]
)
async def test_a_model_version_that_is_not_there_is_refused(house: House, version: str, error: str) -> None:
    with pytest.raises(NotFound, match=error):
        await house.create("wine", an_entity(version))
    assert await house.endpoints.list() == ()


async def test_a_registry_that_is_away_is_told(house: House) -> None:
    house.registry.failure = Unavailable("The registry cannot be reached.")
    with pytest.raises(Unavailable, match="registry"):
        await house.create()


async def test_a_name_that_is_taken_is_refused_before_the_registry_is_asked(house: House) -> None:
    await house.create()
    house.registry.failure = Unavailable("The registry cannot be reached.")
    with pytest.raises(AlreadyExists, match="'wine' already"):
        await house.create()


async def test_of_two_creations_at_once_one_wins(house: House) -> None:
    results = await asyncio.gather(house.create(), house.create(), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["AlreadyExists", "EndpointView"]


async def test_a_second_update_while_one_runs_is_refused(house: House) -> None:
    await house.create()
    with pytest.raises(Conflict, match=r"'wine' is being updated\. Wait until the update has ended"):
        await house.update("2")


async def test_of_two_updates_at_once_one_wins(house: House) -> None:
    await house.create()
    await house.settle()
    results = await asyncio.gather(house.update("2"), house.update("3"), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "EndpointView"]


async def test_an_update_without_entities_keeps_them_as_they_are(house: House) -> None:
    house.registry.models["wine"].aliases["champion"] = "1"
    await house.create("wine", an_entity("@champion", "a"), an_entity("2", "b"))
    await house.settle()
    house.registry.models["wine"].aliases["champion"] = "3"
    view = await house.endpoints.update_config("wine", ConfigRequest(None, (Route("b", 100),)))
    assert view.endpoint.pending is not None
    assert [entity.resolved.version for entity in view.endpoint.pending.config.served_entities] == ["1", "2"]


async def test_an_update_with_nothing_in_it_is_refused(house: House) -> None:
    await house.create()
    await house.settle()
    with pytest.raises(InvalidParameter, match="served_entities is missing"):
        await house.endpoints.update_config("wine", ConfigRequest(None))


async def test_a_bad_name_and_bad_routes_are_refused(house: House) -> None:
    with pytest.raises(InvalidParameter, match="cannot name the endpoint"):
        await house.create("no spaces")
    with pytest.raises(InvalidParameter, match="add up to 100"):
        await house.endpoints.create(a_request("wine", routes=(Route("wine-1", 99),)))


@pytest.mark.parametrize("verb", ["get", "delete", "events", "openapi"])
async def test_an_unknown_endpoint_is_not_found(house: House, verb: str) -> None:
    with pytest.raises(NotFound, match="no endpoint 'nobody'"):
        await getattr(house.endpoints, verb)("nobody")
    with pytest.raises(NotFound):
        await house.update("1", "nobody")


async def test_tags_are_set_and_taken_away(house: House) -> None:
    await house.create()
    await house.endpoints.patch_tags("wine", {"a": "1", "b": "2"}, ())
    assert await house.endpoints.patch_tags("wine", {"b": "3"}, ("a", "c")) == (("b", "3"),)
    with pytest.raises(InvalidParameter, match="key"):
        await house.endpoints.patch_tags("wine", {"": "x"}, ())


async def test_changes_at_once_are_all_kept(house: House) -> None:
    await house.create()
    await asyncio.gather(*(house.endpoints.patch_tags("wine", {str(n): ""}, ()) for n in range(8)))
    assert len((await house.endpoints.get("wine")).endpoint.tags) == 8


async def test_logs_are_those_of_the_newest_attempt(house: House) -> None:
    await house.create("wine", an_entity("1", "it"))
    await house.settle()
    house.engine.broken["it"] = "It does not load."
    await house.endpoints.update_config("wine", ConfigRequest((an_entity("2", "it"),)))
    await house.settle()
    for revision in house.control.world.snapshot.revisions.values():
        log = house.data.replica_log(revision.id)
        log.parent.mkdir(exist_ok=True)
        log.write_text(f"version {revision.entity.model.version}\n")
    assert await house.endpoints.logs("wine", "it") == "version 2\n"
    assert await house.endpoints.logs("wine", "it", 1) == "version 1\n"
    with pytest.raises(NotFound, match="no served entity 'that'; it has it"):
        await house.endpoints.logs("wine", "that")
    with pytest.raises(NotFound, match=r"no configuration 7 any more, or never had\..*: 1, 2\."):
        await house.endpoints.logs("wine", "it", 7)


async def test_a_long_log_is_cut_at_a_line(house: House) -> None:
    await house.create()
    await house.settle()
    revision: RevisionId = next(iter(house.control.world.snapshot.revisions))
    log = house.data.replica_log(revision)
    log.parent.mkdir(exist_ok=True)
    log.write_text("a line of text\n" * (MAX_LOG_BYTES // 10))
    tail = await house.endpoints.logs("wine", "wine-1")
    assert MAX_LOG_BYTES - 20 < len(tail) <= MAX_LOG_BYTES
    assert set(tail.splitlines()) == {"a line of text"}


async def test_there_is_no_log_before_there_is_one(house: House) -> None:
    await house.create()
    assert await house.endpoints.logs("wine", "wine-1") == ""
    assert await house.endpoints.build_logs("wine", "wine-1") == ""


async def test_openapi_waits_for_the_model(house: House) -> None:
    await house.create()
    with pytest.raises(Conflict, match="not been prepared yet"):
        await house.endpoints.openapi("wine")
    await house.settle()
    assert (await house.endpoints.openapi("wine"))["openapi"] == "3.1.0"
