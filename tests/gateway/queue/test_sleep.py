"""A request that races with the last replica's end: a real gateway, a real agent, the worker's own server."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.engines.machine import Machine
from tests.gateway.gateway_process import GatewayProcess, listener
from tests.gateway.house import TOKEN, until
from tidegate.core.endpoint.revision import RevisionId
from tidegate_worker.ipc import wire

ROUNDS = 12


class Nap:
    """An endpoint `wine` of which the test says when it sleeps."""

    def __init__(self, machine: Machine, client: httpx.AsyncClient, url: str) -> None:
        self.machine, self.target = machine, machine.target("5ca1ab1e")
        self.client, self.url = client, url

    async def put_to_sleep(self) -> None:
        await self.machine.engine.apply(replace(self.target, replicas=0, proved=True))

    async def asleep(self) -> bool:
        seen = await self.machine.observe("5ca1ab1e")
        return seen is not None and not seen.replicas

    async def ask(self, number: int) -> tuple[int, str]:
        answer = await self.client.post(self.url, content=str(number))
        return answer.status_code, answer.text


@pytest.fixture
async def nap() -> AsyncIterator[Nap]:
    machine, port = Machine(), listener()
    package = machine.root / "overlay" / "tidegate_worker"
    shutil.copytree(Path(wire.__file__).parents[1], package, dirs_exist_ok=True)
    shutil.copy(Path(__file__).with_name("napping_worker.py"), package / "__main__.py")
    gateway = GatewayProcess(machine.data, RevisionId("5ca1ab1e"), port)
    try:
        await machine.start_agent()
        gateway.start()
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, timeout=30) as client:
            yield Nap(machine, client, gateway.url)
    finally:
        gateway.stop()
        port.close()
        await machine.close()


async def test_requests_around_the_last_replicas_end_are_all_answered(nap: Nap) -> None:
    """It is put to sleep in the middle of requests, again and again; each wakes it, and none is lost or waits long."""
    await nap.machine.engine.apply(nap.target)
    await nap.machine.until_ready(1, "5ca1ab1e")
    chance, number, answers = random.Random(3), 0, []
    for turn in range(ROUNDS):
        for _ in range(4):
            number += 1
            answers.append(asyncio.create_task(nap.ask(number)))
            await asyncio.sleep(chance.uniform(0.0, 0.05))
        await nap.put_to_sleep()
        for _ in range(4):
            number += 1
            answers.append(asyncio.create_task(nap.ask(number)))
            await asyncio.sleep(chance.uniform(0.0, 0.05))
        if turn % 3 == 0:  # now and then it is left alone until nothing of it runs
            await asyncio.gather(*answers)
            await nap.put_to_sleep()
            await until(nap.asleep)
    got = await asyncio.gather(*answers)
    assert [status for status, _ in got] == [200] * number
    assert nap.machine.launches("5ca1ab1e") > ROUNDS // 2


async def test_what_replicas_use_is_told_at_every_look(nap: Nap) -> None:
    """The autoscaler tells by it whether a model computes."""
    await nap.machine.engine.apply(nap.target)
    await nap.machine.until_ready(1, "5ca1ab1e")
    used = []
    for number in range(3):
        assert (await nap.ask(number))[0] == 200
        seen = await nap.machine.observe("5ca1ab1e")
        assert seen is not None
        used.append(seen.replicas[0].cpu_seconds)
    assert 0 < used[0] < used[1] < used[2]


async def test_from_nothing_a_request_wakes_it_without_control(nap: Nap) -> None:
    await nap.machine.engine.apply(replace(nap.target, replicas=0, proved=True))
    assert await nap.asleep()
    assert (await nap.ask(1))[0] == 200
    seen = await nap.machine.observe("5ca1ab1e")
    assert seen is not None
    assert seen.target.replicas == 1
