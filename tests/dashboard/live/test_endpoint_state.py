"""The stream of an endpoint's state."""

import asyncio
import json
import re

import httpx

from tests.dashboard.web_house import WebHouse


async def _event(lines: "asyncio.Queue[str]", name: str) -> object:
    async with asyncio.timeout(5):
        while True:
            if await lines.get() == f"event: {name}":
                return json.loads((await lines.get()).removeprefix("data: "))


async def _read(answer: httpx.Response, lines: "asyncio.Queue[str]") -> None:
    async for line in answer.aiter_lines():
        lines.put_nowait(line)


async def test_the_stream_tells_what_changed_and_which_parts_are_to_be_read_anew(web: WebHouse) -> None:
    await web.ready("wine")
    page = await web.text("/endpoints/wine/rollouts")
    address = page.split('data-stream="')[1].split('"')[0]
    lines = asyncio.Queue[str]()
    async with web.http.stream("GET", address) as answer:
        reading = asyncio.create_task(_read(answer, lines))
        assert await _event(lines, "values") == {"state": "ready", "version": "v1"}
        await web.house.update("2")
        refreshed = await _event(lines, "refresh")
        await web.house.endpoints.delete("wine")
        while (await _event(lines, "values")) != {"state": "deleted"}:
            pass
        reading.cancel()
    assert isinstance(refreshed, list)
    assert set(re.findall(r'data-part="(.*?)"', page)) <= set(refreshed)
    assert (await web.http.get("/live/endpoints/none/state")).status_code == 404
