"""Many requests at once, each on a connection of its own that is there before the first of them is sent."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.running_platform import Platform

# More than any request may take; who waits longer has been forgotten.
PATIENCE_SECONDS = 90.0


@dataclass(frozen=True)
class Answer:
    """What one request got, and after how many seconds. Status 0: nothing."""

    status: int
    document: Any
    seconds: float


async def all_at_once(platform: Platform, endpoint: str, bodies: Sequence[Any]) -> list[Answer]:
    """The answers, in the order of the bodies."""
    url = httpx.URL(platform.url)
    connections = [await asyncio.open_connection(url.host, url.port) for _ in bodies]
    head = (
        f"POST /serving-endpoints/{endpoint}/invocations HTTP/1.1\r\nhost: {url.host}\r\nconnection: close\r\n"
        f"authorization: Bearer {platform.token}\r\ncontent-type: application/json\r\n"
    )
    began = asyncio.get_running_loop().time()
    for body, (_, writer) in zip(bodies, connections, strict=True):
        content = json.dumps(body).encode()
        writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
    try:
        return await asyncio.gather(*(_answer(reader, began) for reader, _ in connections))
    finally:
        for _, writer in connections:
            writer.transport.abort()


async def _answer(reader: asyncio.StreamReader, began: float) -> Answer:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.read()  # to the end of the connection
    except (TimeoutError, ConnectionError) as error:
        return Answer(0, repr(error), loop.time() - began)
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head[9:12]) if head.startswith(b"HTTP/1.1 ") else 0
    return Answer(status, json.loads(body) if status else answer, loop.time() - began)
