"""The engine of one machine when its agent does not behave."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.engines.machine import Machine
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.errors import InvalidParameter, Unavailable
from tidegate.engines.agent.local_engine import LocalEngine

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def agent(path: Path, handler: Handler) -> AsyncIterator[None]:
    """An agent that does as the test says."""
    closing: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closing.append(writer)
        with contextlib.suppress(ConnectionError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        server.close()
        for writer in closing:
            writer.close()


async def test_an_agent_that_is_not_there(machine: Machine) -> None:
    with pytest.raises(Unavailable) as raised:
        await machine.engine.observe()
    assert raised.value.retry_after == 1


async def test_an_agent_that_does_not_answer_in_time(machine: Machine) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            pass

    engine = LocalEngine(machine.data.agent_socket, timeout_seconds=0.2)
    async with agent(machine.data.agent_socket, hang):
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await engine.observe()
        assert 0.15 < time.monotonic() - began < 2
        await engine.close()


async def test_a_late_answer_is_not_taken_for_the_next(machine: Machine) -> None:
    calls = 0

    async def late_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        while line := await reader.readline():
            calls += 1
            if calls == 1:
                await asyncio.sleep(0.3)
            number = line.partition(b'"id":')[2].partition(b",")[0]
            writer.write(b'{"id":' + number + b',"ok":true,"result":{"changed":{},"gone":[]}}\n')

    engine = LocalEngine(machine.data.agent_socket, timeout_seconds=0.1)
    async with agent(machine.data.agent_socket, late_once):
        with pytest.raises(Unavailable):
            await engine.observe()
        assert await engine.observe() == {}
        await engine.close()


async def test_nonsense_is_unavailable(machine: Machine) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"<html>\n")

    async with agent(machine.data.agent_socket, babble):
        with pytest.raises(Unavailable):
            await machine.engine.remove(RevisionId("rev1"))
        await machine.engine.close()


async def test_the_same_engine_serves_after_the_agents_restart(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(replicas=0))
    machine.kill_agent()
    await machine.start_agent()
    assert set(await machine.engine.observe()) == {"rev1"}


async def test_only_what_changes_travels_and_the_whole_after_a_restart(machine: Machine) -> None:
    await machine.start_agent()
    for name in ("a", "b"):
        await machine.engine.apply(machine.target(name, replicas=0))
    first = await machine.engine.observe()
    assert await machine.engine.observe() is first
    await machine.engine.apply(machine.target("c", replicas=0))
    second = await machine.engine.observe()
    assert second.keys() == {"a", "b", "c"}
    assert second[RevisionId("a")] is first[RevisionId("a")]
    machine.kill_agent()
    await machine.start_agent()
    assert await machine.engine.observe() == second
    await machine.engine.remove(RevisionId("b"))
    deadline = time.monotonic() + 10
    while (await machine.engine.observe()).keys() != {"a", "c"}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_calls_at_once_take_turns(machine: Machine) -> None:
    await machine.start_agent()
    await asyncio.gather(*(machine.engine.apply(machine.target(f"r{n}", replicas=0)) for n in range(20)))
    assert len(await machine.engine.observe()) == 20


async def test_the_agents_refusal_keeps_its_kind(machine: Machine) -> None:
    await machine.start_agent()
    with pytest.raises(InvalidParameter, match="revision"):
        await machine.engine.apply(machine.target("../escape"))
