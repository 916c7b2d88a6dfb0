"""A gateway on a loopback port, with stand-ins for all that it talks to."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import uvicorn

from tests.fakes.replica import FakeReplica
from tidegate import http, http_server
from tidegate.core.access.access_table import AccessTable, access_table
from tidegate.core.access.principal import ADMIN
from tidegate.core.endpoint.revision import RevisionAddresses, RevisionId
from tidegate.core.planes.account import Account
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.planes.published import Published
from tidegate.core.planes.route_table import EndpointRoute, RevisionRoute, RouteTable
from tidegate.data_directory import DataDirectory
from tidegate.gateway import gateway_server
from tidegate.settings import GatewaySettings, RegistrySettings, ServerSettings, Settings

TOKEN = "a-token"
V1, V2 = RevisionId("1" * 16), RevisionId("2" * 16)


class FakeAgent:
    """The agent's socket: tells addresses, and notes what it is asked."""

    def __init__(self, socket: Path) -> None:
        self.asked: list[tuple[str, str]] = []
        self.used: list[str] = []
        self.addresses: dict[str, RevisionAddresses] = {}
        self._socket = socket
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._socket)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await until(lambda: not self._writers)
        self._socket.unlink(missing_ok=True)

    def place(self, revision: RevisionId, *replicas: FakeReplica, known: bool = True, message: str = "") -> None:
        """Tell all gateways where a revision's replicas are."""
        pairs = tuple((replica.id, replica.address) for replica in replicas)
        self.addresses[revision] = RevisionAddresses(revision, known, pairs, message)
        for writer in self._writers:
            self._push(writer, revision)

    def _push(self, writer: asyncio.StreamWriter, revision: str) -> None:
        writer.write(msgspec.json.encode({"addresses": self.addresses[revision]}) + b"\n")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                request = json.loads(line)
                if request["verb"] == "used":
                    self.used += request["revisions"]
                    continue
                self.asked.append((request["verb"], request["revision"]))
                writer.write(json.dumps({"id": request["id"], "ok": True, "result": None}).encode() + b"\n")
                if request["revision"] in self.addresses:
                    self._push(writer, request["revision"])
        self._writers.discard(writer)
        writer.close()


class FakeControl:
    """Control's end of the planes link, and a REST API that says what it was asked."""

    def __init__(self, data: DataDirectory, table: RouteTable) -> None:
        self.reports: list[LoadReport] = []
        self._data, self._table = data, table
        self._access = access_table({http.token_hash(TOKEN): ADMIN}, {})
        self._writers: set[asyncio.StreamWriter] = set()
        self._link: asyncio.Server | None = None
        self._stopping = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._link = await asyncio.start_unix_server(self._serve, self._data.planes_socket)
        config = uvicorn.Config(
            self._answer, uds=str(self._data.api_socket), log_config=None, lifespan="off", interface="asgi3"
        )
        self._serving = asyncio.create_task(http_server.serve(config, self._stopping))
        await until(self._data.api_socket.exists)

    async def stop(self) -> None:
        if self._link is not None:
            self._link.close()
        for writer in list(self._writers):
            writer.transport.abort()
        self._stopping.set()
        if self._serving is not None:
            await self._serving
        self._data.planes_socket.unlink(missing_ok=True)

    def publish(self, table: RouteTable) -> None:
        self._table = table
        self._send(Published(routes=table))

    def publish_access(self, table: AccessTable) -> None:
        self._access = table
        self._send(Published(access=table))

    def _send(self, message: Published) -> None:
        for writer in self._writers:
            writer.write(msgspec.json.encode(message) + b"\n")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        for message in (Published(access=self._access), Published(routes=self._table)):
            writer.write(msgspec.json.encode(message) + b"\n")
        parts: dict[str, Mapping[str, Account]] = {}
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                report = msgspec.json.decode(line, type=LoadReport)
                if report.more:
                    parts |= report.accounts
                    continue
                report, parts = replace(report, accounts={**parts, **report.accounts}), {}
                self.reports.append(report if report.whole else report.onto(self.reports[-1]))
        self._writers.discard(writer)
        writer.close()

    async def _answer(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        said = {"path": scope["raw_path"].decode(), "query": scope["query_string"].decode(), "bytes": len(body)}
        answer = json.dumps({**said, "method": scope["method"], "headers": headers}).encode()
        headers_out = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers_out})
        await send({"type": "http.response.body", "body": answer})


class House:
    """All of it, with an endpoint `wine` that serves V1."""

    def __init__(self, root: Path, public_url: str = "", /, **limits: float) -> None:
        self.settings = Settings(
            ServerSettings(data_dir=root, public_url=public_url),
            GatewaySettings(**limits),  # type: ignore[arg-type]
            RegistrySettings("sqlite:///elsewhere.db"),
        )
        self.data = DataDirectory(root)
        self.data.create()
        self.agent = FakeAgent(self.data.agent_socket)
        self.control = FakeControl(self.data, self.table())
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.client = httpx.AsyncClient(
            base_url=self.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=20, limits=httpx.Limits()
        )
        self.replicas: list[FakeReplica] = []
        self._stop = asyncio.Event()
        self._gateway: asyncio.Task[None] | None = None

    def table(self, *weights: tuple[RevisionId, int], version: str = "t1", **fields: object) -> RouteTable:
        """A table in which `wine` is split as told; all of it to V1 by default."""
        weights = weights or ((V1, 100),)
        served = {f"wine-{revision[0]}": revision for revision, _ in weights}
        revisions = {
            revision: RevisionRoute(
                revision, "wine", name, str(self.data.agent_socket),
                float(str(fields.get("timeout", 60))), bool(fields.get("retry", True)), label=name,
            )
            for name, revision in served.items()
        }  # fmt: skip
        route = EndpointRoute("wine", weights, served)
        return RouteTable(version, {"wine": route}, revisions)

    async def replica(self, name: str, **options: object) -> FakeReplica:
        """One more replica, listening; `agent.place` tells of it."""
        replica = FakeReplica(self.data.run, name, **options)  # type: ignore[arg-type]
        await replica.start()
        self.replicas.append(replica)
        return replica

    async def start(self) -> None:
        await self.agent.start()
        await self.control.start()
        self.run_gateway()
        await until(self.ready)

    def run_gateway(self) -> None:
        """Start a gateway process's worth of it on a copy of the listening socket; who connects before waits."""
        self._stop.clear()
        listener = socket.socket(fileno=socket.dup(self.listener.fileno()))
        self._gateway = asyncio.create_task(gateway_server.serve(0, listener, self.settings, self._stop))

    async def stop_gateway(self) -> None:
        self._stop.set()
        if self._gateway is not None:
            await self._gateway

    async def stop(self) -> None:
        await self.client.aclose()
        await self.stop_gateway()
        await self.control.stop()
        await self.agent.stop()
        for replica in self.replicas:
            await replica.stop()
        self.listener.close()

    async def ready(self) -> bool:
        return (await self.client.get("/readyz")).status_code == 200

    async def score(self, body: bytes | AsyncIterator[bytes] = b"[1]", **options: object) -> httpx.Response:
        """One request to `wine`."""
        return await self.client.post("/serving-endpoints/wine/invocations", content=body, **options)  # type: ignore[arg-type]

    async def raw(self, request: bytes) -> bytes:
        """The answers to these bytes, until the gateway closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.getsockname()[1])
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return answer

    async def report(self) -> LoadReport:
        """A report made after now."""
        seen = len(self.control.reports)
        await until(lambda: len(self.control.reports) > seen + 1)
        return self.control.reports[-1]


async def until(condition, seconds: float = 10) -> None:  # type: ignore[no-untyped-def]
    """Wait for a condition; fail after so many seconds."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if asyncio.iscoroutine(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def house(root: Path, public_url: str = "", /, **limits: float) -> AsyncIterator[House]:
    """A house that stands for the length of a `with`."""
    built = House(root, public_url, **limits)
    await built.start()
    try:
        yield built
    finally:
        await built.stop()
