"""Sockets that only this user can connect to, whatever the umask is."""

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from tidegate import http_server, json_lines, private_socket


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_uvicorn_keeps_the_mode_of_what_it_replaces(tmp_path: Path) -> None:
    async def app(_scope: object, _receive: object, send) -> None:  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    path, stop = tmp_path / "s", asyncio.Event()
    path.write_text("a predecessor's")
    private_socket.reserve(path)
    assert mode(path) == 0o600
    config = uvicorn.Config(app, uds=str(path), log_config=None, lifespan="off", interface="asgi3")
    serving = asyncio.create_task(http_server.serve(config, stop))
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path), retries=0)) as client:
        for _ in range(500):
            try:
                answer = await client.get("http://localhost/")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.01)
    assert answer.status_code == 204
    assert mode(path) == 0o600
    stop.set()
    await serving


async def test_json_lines_listen_privately(tmp_path: Path) -> None:
    async def serve(_lines: json_lines.JsonLines) -> None: ...

    server = await json_lines.listen(tmp_path / "s", serve, 100)
    assert mode(tmp_path / "s") == 0o600
    server.close()
