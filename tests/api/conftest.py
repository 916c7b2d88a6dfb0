"""The API on a loopback port over a house whose reconciler runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.control.house import POLL, House, a_house
from tidegate.api.rest_api import create_app
from tidegate.core.access.principal import ADMIN, HEADERS, Principal
from tidegate.gateway.http.callers import told

MEMORY_LIMIT = 4_000_000_000  # bytes, of a replica


@dataclass
class Api:
    """A running API: where it listens, a plain client of it, and the house behind it."""

    url: str
    http: httpx.AsyncClient
    house: House

    async def ready(self, name: str = "wine") -> None:
        """Create an endpoint and wait until it serves."""
        await self.house.create(name)
        await self.settled(name)

    async def settled(self, name: str = "wine") -> None:
        """Wait until no update runs."""
        async with asyncio.timeout(10):
            while (await self.house.endpoints.get(name)).endpoint.pending is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def rest(self) -> None:
        """Look at versions and stages until nothing is on its way."""
        async with asyncio.timeout(10):
            while (pause := await self.house.follower.run_once()) not in (POLL, None):
                self.house.clock.advance(pause)
                await asyncio.sleep(0.01)


def by_gateway(app: ASGIApp) -> ASGIApp:
    """The application as a gateway asks it for the administrator, unless a test says who calls."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        named = any(name.startswith(HEADERS.encode()) for name, _ in scope.get("headers", ()))
        await app(scope if named or scope["type"] != "http" else told(scope, Principal(ADMIN)), receive, send)

    return asked


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with a_house(tmp_path / "data", patience=10.0) as house:
        house.control.reconciling.start()
        app = create_app(*house.faces, MEMORY_LIMIT)

        async def discovery(_: Request) -> JSONResponse:
            return JSONResponse({})

        # The gateway's own, in the platform.
        app.router.routes.insert(0, Route("/.well-known/databricks-config", discovery))
        server = uvicorn.Server(uvicorn.Config(by_gateway(app), port=0, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            yield Api(f"http://127.0.0.1:{port}", http, house)
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving
