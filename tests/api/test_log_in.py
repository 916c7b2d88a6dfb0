"""A person's way in, through a real gateway and a real control: log-in page, cookie, session, log-out."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import uvicorn

from tests.control.house import TOKEN, House, a_house
from tests.dashboard.web_house import sources
from tests.fakes.series import FakeSeries
from tests.services.nginx import nginx_server
from tidegate import http_server
from tidegate.api.rest_api import create_app
from tidegate.dashboard.site import Site
from tidegate.dashboard.web_app import create_web_app, faces
from tidegate.gateway import gateway_server
from tidegate.public_url import parse
from tidegate.settings import GatewaySettings, RegistrySettings, ServerSettings, Settings
from tidegate.web_assets import WebAssets

API = "/api/2.0/serving-endpoints"
BODY = {"name": "tea", "config": {"served_entities": [{"entity_name": "wine", "entity_version": "1"}]}}


@dataclass
class Serving:
    """A server that ends with `stop`."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    async def end(self) -> None:
        self.stop.set()
        if self.task is not None:
            await self.task


@dataclass
class Platform:
    """The gateway's address, and what is behind it."""

    house: House
    settings: Settings
    listener: socket.socket
    control: Serving
    gateway: Serving = field(default_factory=Serving)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run_gateway(self) -> None:
        self.gateway = Serving()
        listener = socket.socket(fileno=socket.dup(self.listener.fileno()))
        self.gateway.task = asyncio.create_task(gateway_server.serve(0, listener, self.settings, self.gateway.stop))

    def browser(self) -> httpx.AsyncClient:
        """It keeps cookies, and says where its requests come from."""
        headers = {"accept": "text/html", "origin": self.url}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=20)

    async def status(self, path: str, status: int) -> None:
        """Wait until a program gets this status there."""
        async with asyncio.timeout(10), httpx.AsyncClient(base_url=self.url, timeout=20) as client:
            while (await client.get(path)).status_code != status:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def a_platform(folder: Path, listener: socket.socket, public_url: str = "") -> AsyncIterator[Platform]:
    async with a_house(folder) as house:
        house.clock.advance(time.time() - house.clock.now())  # gateways see sessions end by the real time
        public = parse(public_url)
        api = create_app(*house.faces, public=public)
        series = FakeSeries({}, house.clock)
        web = create_web_app(Site(sources(house, series), WebAssets.load(), public))
        config = uvicorn.Config(
            faces(api, web), uds=str(house.data.api_socket), log_config=None, lifespan="off", ws="none"
        )
        control = Serving()
        control.task = asyncio.create_task(http_server.serve(config, control.stop))
        server = ServerSettings(data_dir=house.data.root, public_url=public_url)
        settings = Settings(server, GatewaySettings(), RegistrySettings("sqlite:///elsewhere.db"))
        platform = Platform(house, settings, listener, control)
        await house.control.reconcile()
        platform.run_gateway()
        await platform.status("/readyz", 200)
        try:
            yield platform
        finally:
            await platform.gateway.end()
            await platform.control.end()


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with a_platform(tmp_path / "data", listener) as made:
            yield made


async def log_in(browser: httpx.AsyncClient, token: str = TOKEN) -> httpx.Response:
    return await browser.post("/login", data={"token": token, "next": "/"})


async def test_the_whole_way_in_and_out(platform: Platform) -> None:
    async with platform.browser() as browser:
        sent = await browser.get("/?sort=name")
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/%3Fsort%3Dname")
        page = await browser.get(sent.headers["location"])
        assert (page.status_code, 'value="/?sort=name"' in page.text) == (200, True)
        assert (await log_in(browser, "wrong")).status_code == 401
        assert not browser.cookies
        for _ in range(5):  # the gateway knows the session before the browser does
            browser.cookies.clear()
            assert (await log_in(browser)).status_code == 303
            assert (await browser.get(API)).status_code == 200
        assert (await browser.get("/")).status_code == 200
        known = await browser.get("/login?next=/models")
        assert (known.status_code, known.headers["location"]) == (303, "/models")
        created = await browser.post(API, json=BODY)
        assert (created.status_code, created.json()["creator"]) == (200, "admin")
        evil = await browser.delete(f"{API}/tea", headers={"origin": "https://evil.example"})
        assert evil.status_code == 403
        cookies = dict(browser.cookies)
        assert (await browser.post("/logout")).headers["location"] == "/login"
        assert not browser.cookies
        browser.cookies.update(cookies)  # somebody has kept the cookie
        assert (await browser.get(API)).status_code == 401
        assert (await browser.get("/login")).status_code == 200


async def test_a_session_outlives_gateway_and_control(platform: Platform) -> None:
    async with platform.browser() as browser:
        await log_in(browser)
        await platform.control.end()
        await platform.house.gateways.stop()
        assert (await browser.get(API)).status_code == 503
        await platform.gateway.end()
        platform.run_gateway()
        await platform.status(API, 401)  # who is not known is told so, and not that control is away
        assert (await browser.get(API)).status_code == 503


@pytest.mark.parametrize("removes_prefix", [True, False])
async def test_the_way_in_below_a_path_behind_a_proxy_that_names_another_host(
    tmp_path: Path, removes_prefix: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        upstream = f"http://127.0.0.1:{listener.getsockname()[1]}{'/' if removes_prefix else ''}"
        location = f"location /ml/ {{ proxy_pass {upstream}; proxy_set_header Host inside.example; }}"
        with nginx_server(location) as outside:
            public_url = f"{outside}/ml"
            async with (
                a_platform(tmp_path / "data", listener, public_url),
                httpx.AsyncClient(base_url=outside, headers={"accept": "text/html", "origin": outside}) as browser,
            ):
                sent = await browser.get("/ml/?sort=name")
                assert (sent.status_code, sent.headers["location"]) == (303, "/ml/login?next=/%3Fsort%3Dname")
                assert 'action="/ml/login"' in (await browser.get(sent.headers["location"])).text
                entered = await browser.post("/ml/login", data={"token": TOKEN, "next": "/?sort=name"})
                assert (entered.status_code, entered.headers["location"]) == (303, "/ml/?sort=name")
                assert "; Path=/ml/;" in entered.headers["set-cookie"]
                assert (await browser.get("/ml/")).status_code == 200
                created = await browser.post(f"/ml{API}", json=BODY)
                assert created.json()["endpoint_url"] == f"{public_url}/serving-endpoints/tea/invocations"
                asked = await browser.post("/ml/serving-endpoints/none/invocations", content=b"[1]")
                assert (asked.status_code, asked.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
                evil = await browser.delete(f"/ml{API}/tea", headers={"origin": "http://inside.example:81"})
                assert evil.status_code == 403
                assert (await browser.post("/ml/logout")).headers["location"] == "/ml/login"
                assert (await browser.get(f"/ml{API}")).status_code == 401
