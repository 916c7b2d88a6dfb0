"""Requests that wait while several gateways are about to switch their endpoint."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.gateway.house import V1, V2, House, house, until
from tidegate.gateway.scoring import switch_hold


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(switch_hold, "LONGEST_SECONDS", 60.0)  # reports come once a second
    async with house(tmp_path) as built:
        for name, revision in (("a" * 8, V1), ("b" * 8, V2)):
            built.agent.place(revision, await built.replica(name))
        yield built


async def holding(home: House) -> None:
    """`wine` is about to switch, and the gateway knows."""
    home.control.publish(replace(home.table(version="t2"), held=("wine",)))
    await until(lambda: home.control.reports[-1].route_version == "t2")


async def asked(home: House) -> "asyncio.Task[str]":
    """A request that has arrived; its result is who answers."""

    async def ask() -> str:
        answer = await home.score()
        assert answer.status_code == 200, answer.text
        return answer.headers["served-model-name"]

    before = home.control.reports[-1].endpoints["wine"].accepted if home.control.reports[-1].endpoints else 0
    task = asyncio.create_task(ask())

    async def arrived() -> bool:
        return (await home.report()).endpoints["wine"].accepted > before

    await until(arrived)
    return task


async def test_what_comes_is_answered_by_what_serves_next(home: House) -> None:
    await holding(home)
    request = await asked(home)
    assert not request.done()
    home.control.publish(home.table((V2, 100), version="t3"))
    assert await request == "wine-2"


async def test_what_is_held_is_in_flight_and_counts_once(home: House) -> None:
    await holding(home)
    request = await asked(home)
    account = (await home.report()).endpoints["wine"]
    assert (account.accepted, account.answered, account.in_flight) == (1, 0, 1)
    home.control.publish(home.table((V2, 100), version="t3"))
    await request
    account = (await home.report()).endpoints["wine"]
    assert (account.accepted, account.answered, account.in_flight) == (1, 1, 0)


async def test_what_the_next_table_holds_too_stays_held(home: House) -> None:
    await holding(home)
    request = await asked(home)
    home.control.publish(replace(home.table((V2, 100), version="t3"), held=("iris", "wine")))
    await until(lambda: home.control.reports[-1].route_version == "t3")
    await asyncio.sleep(0.05)
    assert not request.done()
    home.control.publish(home.table((V2, 100), version="t4"))
    assert await request == "wine-2"


async def test_where_control_ends_in_between_what_serves_goes_on(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch_hold, "LONGEST_SECONDS", 0.2)
    await holding(home)
    assert await (await asked(home)) == "wine-1"
    assert (await home.score()).headers["served-model-name"] == "wine-1"  # its time is over for all


async def test_who_leaves_while_it_is_held_is_forgotten(home: House) -> None:
    await holding(home)
    request = await asked(home)
    request.cancel()

    async def gone() -> bool:
        return (await home.report()).endpoints["wine"].client_gone == 1

    await until(gone)
    home.control.publish(home.table((V2, 100), version="t3"))
    assert (await home.score()).headers["served-model-name"] == "wine-2"
    assert [len(replica.seen) for replica in home.replicas] == [0, 1]
