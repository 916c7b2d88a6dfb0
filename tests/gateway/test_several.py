"""Several gateways on one port."""

import asyncio
from pathlib import Path

import httpx

from tests.fakes.replica import FakeReplica
from tests.gateway.gateway_process import GatewayProcess, listener
from tests.gateway.house import TOKEN, V1, FakeAgent, until
from tidegate.control.publish.gateway_links import Gateways
from tidegate.core.planes.account import Account
from tidegate.data_directory import DataDirectory


async def test_two_gateways_share_a_port_and_their_counts_add_up(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.create()
    agent, replica = FakeAgent(data.agent_socket), FakeReplica(data.run, "aaaa0001")
    gateways = Gateways(data.planes_socket, 2, lambda: None)
    await agent.start()
    await replica.start()
    await gateways.start()
    agent.place(V1, replica)
    first = listener()
    shares = [first, listener(first.getsockname()[1])]
    running = [GatewayProcess(data, V1, share, n, 2) for n, share in enumerate(shares)]
    try:
        for gateway in running:
            gateway.start()
        await until(lambda: len(gateways.reports) == 2, 20)
        answers = await asyncio.gather(*[one(running[0].url) for _ in range(60)])
        assert {answer.json()["predictions"] for answer in answers} == {7}
        await until(lambda: gateways.totals().endpoints.get("wine", Account()).answered == 60)
        assert min(report.endpoints["wine"].answered for report in gateways.reports) > 0
    finally:
        for gateway, share in zip(running, shares, strict=True):
            gateway.stop()
            share.close()
        await gateways.stop()
        await replica.stop()
        await agent.stop()


async def one(url: str) -> httpx.Response:
    """A request on a connection of its own."""
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, timeout=20) as client:
        return await client.post(url, content=b"7")
