"""The catalogue of models: one question for many askers, and who serves what."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.control.house import House, a_house, an_entity
from tidegate.control.registry.model_catalog import KEPT_SECONDS, Serving
from tidegate.core.errors import NotFound, Unavailable


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path / "data") as house:
        yield house


async def test_models_come_with_the_endpoints_that_serve_them(house: House) -> None:
    house.registry.add("tea", "1")
    house.registry.models["wine"].aliases["champion"] = "2"
    await house.create("cellar", an_entity("@champion"))
    await house.settle()
    await house.update("3", "cellar")
    await house.passes(1)
    house.engine.broken["wine-1"] = "It does not load."
    await house.create("broken", an_entity("1"))
    await house.settle()
    tea, wine = await house.control.catalog.models()
    assert (tea.model.name, tea.served_by) == ("tea", ())
    assert wine.served_by == (
        Serving("broken", "1", "1", active=False),
        Serving("cellar", "3", "3", active=True),
    )


async def test_a_pending_version_stands_beside_the_one_that_serves(house: House) -> None:
    await house.create("cellar")
    await house.settle()
    house.builder.gate.clear()
    house.registry.models["wine"].versions["2"].files = {"MLmodel": b"flavors: {}\n", "requirements.txt": b"other\n"}
    await house.update("2", "cellar")
    await house.passes(2)
    (wine,) = await house.control.catalog.models()
    assert [(one.version, one.active) for one in wine.served_by] == [("1", True), ("2", False)]
    house.builder.gate.set()


async def test_those_who_ask_at_once_or_soon_share_one_answer(house: House) -> None:
    catalog = house.control.catalog
    await asyncio.gather(*(catalog.models() for _ in range(20)))
    house.clock.advance(KEPT_SECONDS / 2)
    await catalog.models()
    assert house.registry.lists == 1
    house.clock.advance(KEPT_SECONDS)
    house.registry.add("tea", "1")
    assert [one.model.name for one in await catalog.models()] == ["tea", "wine"]
    assert house.registry.lists == 2


async def test_a_registry_that_is_away_is_asked_once_for_all_who_wait(house: House) -> None:
    catalog = house.control.catalog
    house.registry.failure = Unavailable("The registry is away.", retry_after=5)
    found = await asyncio.gather(*(catalog.models() for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in found] == ["The registry is away."] * 3
    house.registry.failure = None
    house.clock.advance(KEPT_SECONDS)
    assert len(await catalog.models()) == 1


async def test_a_signature_is_read_once(house: House) -> None:
    catalog = house.control.catalog
    signed = b"flavors: {}\nsignature:\n  inputs: '[]'\n"
    house.registry.add("tea", "1", {"MLmodel": signed})
    assert (await catalog.signature("tea", "1")).inputs == "[]"
    house.registry.models["tea"].versions["1"].files = {"MLmodel": b"flavors: {}\n"}
    house.clock.advance(KEPT_SECONDS)
    assert (await catalog.signature("tea", "1")).inputs == "[]"
    with pytest.raises(NotFound, match="no version '2'"):
        await catalog.signature("tea", "2")
