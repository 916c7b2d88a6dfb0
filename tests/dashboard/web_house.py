"""The dashboard on a loopback port over a house whose reconciler runs, with made-up series."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.control.house import House, a_house
from tests.fakes.series import FakeSeries
from tests.fakes.slow_requests import FakeSlowRequests
from tidegate.core.access.principal import ADMIN, HEADERS, Principal
from tidegate.dashboard.site import Site, Sources
from tidegate.dashboard.web_app import create_web_app
from tidegate.gateway.http import callers
from tidegate.public_url import PublicUrl
from tidegate.web_assets import WebAssets


@dataclass
class WebHouse:
    """A running dashboard: where it listens, a plain client of it, the house behind it, and the series."""

    url: str
    http: httpx.AsyncClient
    house: House
    series: FakeSeries
    site: Site

    @property
    def noted(self) -> FakeSlowRequests:
        """What the gateways are to have noted."""
        noted = self.site.sources.slow_requests
        assert isinstance(noted, FakeSlowRequests)
        return noted

    async def ready(self, *names: str) -> None:
        """Create endpoints and wait until they serve."""
        for name in names:
            await self.house.create(name)
        async with asyncio.timeout(60):
            for name in names:
                while (await self.house.endpoints.get(name)).endpoint.pending is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    async def text(self, path: str) -> str:
        """The page at this path, which must be there."""
        answer = await self.http.get(path)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.text


def sources(house: House, series: FakeSeries) -> Sources:
    """What the pages read, over a house."""
    control = house.control
    return Sources(
        house.endpoints,
        house.enablements,
        house.sessions,
        series,
        house.metrics,
        house.clock,
        control.catalog,
        FakeSlowRequests(),
        control.platform,
    )


@contextlib.asynccontextmanager
async def a_web_house(
    folder: Path,
    rates: Mapping[str, float] | None = None,
    port: int = 0,
    public_url: PublicUrl | None = None,
    tick_seconds: float = 0.05,
) -> AsyncIterator[WebHouse]:
    """A dashboard that is up. Static files are answered too, and callers are the administrator, as the
    gateway does."""
    async with a_house(folder, patience=10.0) as house:
        house.control.reconciling.start()
        series, assets = FakeSeries(rates or {}, house.clock), WebAssets.load()
        site = Site(sources(house, series), assets, public_url or PublicUrl(), tick_seconds=tick_seconds)
        app = _with_static(create_web_app(site), assets)
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url) as http:
            yield WebHouse(url, http, house, series, site)
        server.should_exit = server.force_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def _with_static(app: ASGIApp, assets: WebAssets) -> ASGIApp:
    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        answer = assets.answer(scope.get("path", ""), headers.get(b"accept-encoding"))
        if answer is None:
            is_open = scope["type"] != "http" or scope["path"] in callers.OPEN
            known = any(name.startswith(HEADERS.encode()) for name in headers)
            await app(scope if is_open or known else callers.told(scope, Principal(ADMIN)), receive, send)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    return both
