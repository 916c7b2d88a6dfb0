"""Models that are deleted and registered anew under their names: numbers of versions mean others then."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.control.house import POLL, House, an_entity
from tidegate.core.endpoint.endpoint import Endpoint


@pytest.fixture
async def following(house: House) -> House:
    """An endpoint `wine` that follows `@champion`, which is version 1, and is ready."""
    house.registry.models["wine"].aliases["champion"] = "1"
    await house.create("wine", an_entity("@champion"))
    await house.settle()
    return house


async def promote(house: House, version: str) -> None:
    """Move the pointer, and have the follower look."""
    house.registry.models["wine"].aliases["champion"] = version
    await house.follower.run_once()


async def versions(house: House) -> tuple[str | None, ...]:
    """What serves, is on its way and has failed."""
    endpoint = (await house.endpoints.get("wine")).endpoint
    attempts = (endpoint.pending, endpoint.failed)
    configs = (endpoint.active, *(attempt.config if attempt else None for attempt in attempts))
    return tuple(config.served_entities[0].resolved.version if config else None for config in configs)


async def register_anew(house: House, files: dict[str, bytes] | None = None) -> None:
    """Delete the model, and register it with as many versions and the same alias again."""
    gone = house.registry.models.pop("wine")
    for version in gone.versions:
        house.registry.add("wine", version, files)
    house.registry.models["wine"].aliases |= gone.aliases


def content(house: House) -> list[bytes]:
    """The MLmodel files of what has a replica."""
    held = house.engine.held.values()
    return [(Path(seen.target.model_dir) / "MLmodel").read_bytes() for seen in held if seen.replicas]


@pytest.mark.parametrize("seen", [True, False])
async def test_a_model_that_was_registered_anew_is_downloaded_anew(following: House, seen: bool) -> None:
    """Whether the follower looked while it was not there, or did not."""
    gone = following.registry.models.pop("wine")
    if seen:
        await following.follower.run_once()
    following.registry.models["wine"] = gone
    await register_anew(following, {"MLmodel": b"another"})
    await following.follower.run_once()
    await following.settle()
    assert await versions(following) == ("1", None, None)
    assert [model.registered_at for model in following.registry.downloads] == [1, 4]
    assert content(following) == [b"another"]
    told = [kind for kind in await following.kinds() if kind.startswith("pointer")]
    assert told == ["pointer_lost", "pointer_found"] * seen
    (sentence,) = [e.message for e in await following.endpoints.events("wine") if e.kind == "promotion_seen"]
    assert sentence == (
        "'@champion' of model 'wine' is now version 1 of a model that was registered anew; this endpoint had version 1."
    )
    assert await following.follower.run_once() == POLL


async def test_an_exact_version_stays_what_it_was_until_it_is_asked_for_anew(house: House) -> None:
    await house.create()
    await house.settle()
    (before,) = house.engine.held
    await register_anew(house, {"MLmodel": b"another"})
    assert await house.follower.run_once() is None
    await house.restart_control()
    await house.settle()
    assert list(house.engine.held) == [before]
    await house.update("1")
    await house.settle()
    assert content(house) == [b"another"]


async def test_a_version_that_went_before_it_was_downloaded_fails_and_what_has_its_name_is_tried(
    following: House,
) -> None:
    following.builder.gate.clear()
    await promote(following, "2")
    await register_anew(following, {"MLmodel": b"another"})
    await following.until(lambda: following.builds.results["failed"] == 1)
    following.builder.gate.set()
    await following.settle()
    assert await versions(following) == ("1", None, "2")
    assert await following.follower.run_once() != POLL
    await following.settle()
    assert await versions(following) == ("2", None, None)
    assert content(following) == [b"another"]


async def unknown(house: House) -> None:
    """Have the store hold what it held before it was known when a version was registered; control begins anew."""

    def forget(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: forget(one) for key, one in value.items() if key != "registered_at"}
        return [forget(one) for one in value] if isinstance(value, list) else value

    for endpoint in await house.store.endpoints():
        old = msgspec.convert(forget(msgspec.to_builtins(endpoint)), Endpoint)
        await house.store.save_endpoint(replace(old, resource_version=endpoint.resource_version))
    await house.restart_control()
    await house.settle()


async def test_a_record_from_before_goes_on_and_moves_when_its_pointer_does(following: House) -> None:
    await unknown(following)
    (before,) = following.engine.held
    written = (await following.endpoints.get("wine")).endpoint.resource_version
    assert await following.follower.run_once() == POLL
    await following.settle()
    assert (await following.endpoints.get("wine")).endpoint.resource_version == written
    assert list(following.engine.held) == [before]
    await promote(following, "2")
    await following.settle()
    await promote(following, "1")
    await following.settle()
    assert [model.registered_at for model in following.registry.downloads][-1] == 2
    assert await versions(following) == ("1", None, None)


async def test_a_record_from_before_is_served_anew_when_its_model_was_registered_later(following: House) -> None:
    await unknown(following)
    following.registry.registered = int((following.clock.now() + 1) * 1000)
    await register_anew(following, {"MLmodel": b"another"})
    await following.follower.run_once()
    await following.settle()
    assert content(following) == [b"another"]
