"""All gateways are asked; one that is away or talks nonsense is left out."""

import asyncio
from pathlib import Path

import pytest

from tidegate.control.publish import slow_requests
from tidegate.control.publish.slow_requests import SlowRequests
from tidegate.core.planes.noted_requests import MOST_NOTED, NotedRequest, NotedRequests
from tidegate.gateway.links.note_socket import NoteSocket


def a_request(number: int, gateway: int) -> NotedRequest:
    return NotedRequest(1000.0 + number, number / 10, 200, "wine-1", f"{gateway}-{number}", (0.1,) * 6, 4, "fork")


def noted(gateway: int) -> NotedRequests:
    requests = [a_request(2 * number + gateway, gateway) for number in range(MOST_NOTED)]
    return NotedRequests(tuple(requests[::-1]), (a_request(gateway, gateway)._replace(status=503, sentence="full"),))


async def test_what_all_gateways_have_noted_is_told_together(tmp_path: Path) -> None:
    sockets = [tmp_path / f"{number}.sock" for number in range(3)]
    asked: list[str] = []

    def first(name: str) -> NotedRequests:
        asked.append(name)
        return noted(0)

    servers = [NoteSocket(sockets[0], first), NoteSocket(sockets[1], lambda name: noted(1))]
    for server in servers:
        await server.start()
    told = await SlowRequests(sockets).of("wine")  # nobody listens at the third
    assert asked == ["wine"]
    assert told.slowest == tuple(a_request(39 - number, (39 - number) % 2) for number in range(MOST_NOTED))
    assert [request.request_id for request in told.errors] == ["1-1", "0-0"]
    for server in servers:
        await server.stop()
    assert await SlowRequests(sockets).of("wine") == NotedRequests()


async def test_a_gateway_that_talks_nonsense_or_is_silent_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_requests, "PATIENCE_SECONDS", 0.2)

    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"slowest": 1}\n')
        await writer.drain()
        writer.close()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    sockets = [tmp_path / name for name in ("good", "nonsense", "silence")]
    good = NoteSocket(sockets[0], lambda name: noted(0))
    await good.start()
    others = [
        await asyncio.start_unix_server(serve, path)
        for serve, path in zip((nonsense, silence), sockets[1:], strict=True)
    ]
    assert await SlowRequests(sockets).of("wine") == noted(0)
    await good.stop()
    for other in others:
        other.close()
