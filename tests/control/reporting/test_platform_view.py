"""The platform at a glance."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.control.house import House, a_house, an_entity, until
from tidegate.control.reporting.platform_view import KEPT_SECONDS, SIZES_SECONDS
from tidegate.core.endpoint.revision import EnvironmentDigest
from tidegate.core.rollout.preparation_steps import Step


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path / "data") as house:
        yield house


def an_environment(house: House, digest: str) -> None:
    site = house.data.envs / digest / "lib" / "python3.11" / "site-packages"
    for package in ("a-1.dist-info", "b-2.dist-info"):
        (site / package).mkdir(parents=True)
    (site / "b.py").write_bytes(b"x" * 50_000)
    (house.data.envs / digest / "pyvenv.cfg").write_text("home = /usr\nversion_info = 3.11.7\n")


async def test_who_has_memory_and_what_is_on_disk_is_told(house: House) -> None:
    await house.create()
    await house.settle()
    (revision,) = house.control.world.snapshot.revisions.values()
    assert revision.environment is not None
    an_environment(house, revision.environment.digest)
    an_environment(house, "unused")
    (house.data.envs / ".locks").mkdir()
    platform = house.control.platform
    first = await platform.view()
    assert first.machine is not None
    assert [holder.endpoint for holder in first.machine.holders] == ["wine"]
    assert [row.endpoint for row in first.replicas] == ["wine"]
    assert {(one.digest, one.python, one.packages, one.used_by) for one in first.environments} == {
        (revision.environment.digest, "3.11.7", 2, ("wine",)),
        (EnvironmentDigest("unused"), "3.11.7", 2, ()),
    }
    assert first.models_size is None
    house.clock.advance(KEPT_SECONDS)
    await until(lambda: platform._sizes)
    second = await platform.view()
    assert all(one.size is not None and 50_000 <= one.size < 200_000 for one in second.environments)
    assert second.models_size is not None
    assert 0 < second.disk_free < second.disk_total
    assert second.versions["Tidegate"]


async def test_one_look_serves_all_who_ask_and_sizes_are_measured_once_a_minute(house: House) -> None:
    platform = house.control.platform
    looks = await asyncio.gather(*(platform.view() for _ in range(10)))
    assert all(look is looks[0] for look in looks)
    await until(lambda: platform._sizes)
    an_environment(house, "late")
    house.clock.advance(KEPT_SECONDS)
    assert [one.size for one in (await platform.view()).environments] == [None]
    house.clock.advance(SIZES_SECONDS)
    await platform.view()
    await until(lambda: "late" in platform._sizes)


async def test_builds_under_way_are_told_with_their_step(house: House) -> None:
    house.builder.gate.clear()
    await house.create("wine", an_entity("2"))
    await house.passes(2)
    await until(lambda: house.builder.running)
    await house.passes(1)
    house.clock.advance(12.0)
    (build,) = (await house.control.platform.view()).builds
    assert (build.endpoint, build.served_entity, build.step) == ("wine", "wine-2", Step.ENVIRONMENT)
    assert build.seconds is not None
    assert build.seconds >= 12.0
    house.builder.gate.set()


async def test_a_gateway_that_does_not_follow_is_behind(house: House) -> None:
    await house.create()
    await house.settle()
    assert [(one.gateway, one.pid, one.behind) for one in (await house.control.platform.view()).gateways] == [
        (0, 1, 0.0)
    ]
    house.gateway.stubborn = True
    await house.create("other")
    await house.passes(4)
    house.clock.advance(KEPT_SECONDS)
    (late,) = (await house.control.platform.view()).gateways
    assert late.behind > 0


async def test_without_the_agent_the_rest_is_told(house: House) -> None:
    house.engine.away = True
    view = await house.control.platform.view()
    assert view.machine is None
    assert "agent does not answer" in view.trouble
