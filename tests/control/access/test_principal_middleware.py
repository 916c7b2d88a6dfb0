"""Who calls control, for as long as the caller may."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.control.house import TOKEN, House
from tidegate import http
from tidegate.control.access.principal_middleware import PrincipalMiddleware
from tidegate.core.access.principal import SESSION_HEADER
from tidegate.core.access.session import LIFETIME_SECONDS

End = Callable[[House, str], Awaitable[None]]


async def log_out(house: House, digest: str) -> None:
    """The person logs out, perhaps on another page."""
    await house.sessions.log_out(digest)


async def pass_time(house: House, _: str) -> None:
    """Nobody uses the session for long."""
    house.clock.advance(LIFETIME_SECONDS)


@pytest.mark.parametrize("end", [log_out, pass_time])
async def test_an_event_stream_ends_with_its_session(house: House, end: End) -> None:
    digest = http.token_hash((await house.sessions.log_in(TOKEN)).secret)

    async def answer(_: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(1000):
                yield f"data: {number}\n\n".encode()
                if number == 1:
                    await end(house, digest)

        return StreamingResponse(parts(), media_type="text/event-stream")

    app = PrincipalMiddleware(Starlette(routes=[Route("/", answer)]), house.sessions)
    transport, headers = httpx.ASGITransport(app), {SESSION_HEADER: digest}
    async with (
        asyncio.timeout(20),
        httpx.AsyncClient(transport=transport, headers=headers, base_url="http://c") as client,
    ):
        whole = await client.get("/")
        assert whole.text == "data: 0\n\ndata: 1\n\n"
        assert (await client.get("/")).status_code == 401


async def test_an_answer_that_has_an_end_comes_whole(house: House) -> None:
    digest = http.token_hash((await house.sessions.log_in(TOKEN)).secret)

    async def answer(_: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"a"
            await house.sessions.log_out(digest)
            yield b"b"

        return StreamingResponse(parts(), media_type="text/plain")

    app = PrincipalMiddleware(Starlette(routes=[Route("/", answer)]), house.sessions)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
        assert (await client.get("/", headers={SESSION_HEADER: digest})).text == "ab"
