"""A platform on a loopback port, for commands to call: the real REST API and reconciler over fakes, scoring as told."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn

from tests.control.house import NO_BUILD, House, a_house
from tidegate import http
from tidegate.api.rest_api import create_app
from tidegate.core.access.principal import Principal
from tidegate.core.endpoint.revision import revision_ids
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.endpoint.status import ConfigUpdate
from tidegate.core.errors import NotFound, TidegateError, Unauthenticated
from tidegate.event_streams import EventStreams, Receive, Scope, Send
from tidegate.gateway.http.callers import told
from tidegate.gateway.http.proxy import Proxy
from tidegate.gateway.http.turns import StreamCount, Turns

T = TypeVar("T")

TOKEN = "the-administrators-token"
OPEN = ("/healthz", "/readyz")
EXAMPLE = {"dataframe_split": {"columns": ["a"], "data": [[1.5]]}}
# Version 1 of "wine" says what a request looks like.
FILES = {
    "MLmodel": b"saved_input_example_info:\n  serving_input_path: serving_input_example.json\n",
    "serving_input_example.json": json.dumps(EXAMPLE).encode(),
}


class Platform:
    """Runs in a thread of its own; `call` and `run` reach into it."""

    house: House
    no_build = NO_BUILD

    def __init__(self, data_dir: Path, registry_socket: Path | None = None) -> None:
        self.data_dir = data_dir
        self.requests: list[tuple[str, str, bytes]] = []  # of scoring: path, content type, body
        self.paths: list[str] = []  # all that was asked for
        self.answer = b'{"predictions": [1]}'
        self.error: TidegateError | None = None  # what scoring answers instead
        self.away: TidegateError | None = None  # what the REST API answers instead
        self.refused: dict[str, TidegateError] = {}  # what the registry answers instead, by method
        self.url = ""
        self._registry_socket = registry_socket
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        self._thread.start()
        assert self._up.wait(20)
        (self.data_dir / "admin.token").write_text(f"{TOKEN}\n")
        (self.data_dir / "server.json").write_text(json.dumps({"url": self.url, "pid": 1}))

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def call(self, function: Callable[[], object]) -> None:
        """Call it in the platform's thread."""
        self._loop.call_soon_threadsafe(function)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the platform's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def hold_builds(self) -> None:
        self.run(_do(self.house.builder.gate.clear))

    def release_builds(self) -> None:
        self.call(self.house.builder.gate.set)

    def state(self, name: str) -> str:
        return self.run(self.house.endpoints.get(name)).status.config_update.value

    def have(self, name: str = "wine") -> None:
        """An endpoint that is ready, of version 1 of "wine"."""
        self.run(self._have(name))

    def print_from_a_replica(self, text: str) -> None:
        """Add to the log of the replicas that run."""
        for revision in self.house.engine.held:
            log = self.house.data.replica_log(revision)
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a") as file:
                file.write(text)

    def wait_for_update(self, name: str) -> None:
        """Wait until no update of the endpoint is under way."""
        self.run(self._settle(name))

    def log_of_replicas(self, name: str, text: str) -> None:
        """Write a log of the replicas of what is on its way."""
        endpoint = self.run(self.house.endpoints.get(name)).endpoint
        assert endpoint.pending is not None
        for revision in revision_ids(endpoint.id, endpoint.pending.config).values():
            log = self.house.data.replica_log(revision)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(text)

    def served(self, name: str) -> tuple[ServedEntity, ...]:
        """What the endpoint serves."""
        config = self.run(self.house.endpoints.get(name)).endpoint.active
        assert config is not None
        return config.served_entities

    def artifacts(self, name: str, version: str) -> dict[str, int]:
        """The files of a model version in the real registry, and their sizes."""
        with self.registry_client() as client:
            asked = {"name": name, "version": version}
            found = client.get("/model-versions/get", params=asked).json()["model_version"]
            return dict(_files(client, found["run_id"], "model"))

    def register(self, name: str) -> None:
        """A registered model without versions, in the real registry."""
        with self.registry_client() as client:
            client.post("/registered-models/create", json={"name": name}).raise_for_status()

    def registry_client(self) -> httpx.Client:
        """A client of MLflow's REST API."""
        return httpx.Client(
            base_url=f"{self.url}/mlflow/api/2.0/mlflow", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20
        )

    async def _have(self, name: str) -> None:
        await self.house.create(name)
        await self._settle(name)

    async def _settle(self, name: str) -> None:
        async with asyncio.timeout(10):
            while (await self.house.endpoints.get(name)).status.config_update is ConfigUpdate.IN_PROGRESS:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    # --- serving

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with a_house(self.data_dir) as self.house:
            self.house.registry.add("wine", "1", FILES)
            self.house.control.reconciling.start()
            house = self.house
            self._api = create_app(*house.faces)
            self._registry = (
                Proxy("The registry", self._registry_socket, EventStreams(), Turns(StreamCount(1)))
                if self._registry_socket
                else None
            )
            config = uvicorn.Config(self._front, port=0, log_config=None, interface="asgi3", lifespan="off", ws="none")
            self._server = uvicorn.Server(config)
            serving = asyncio.create_task(self._server.serve())
            while not self._server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
            self._up.set()
            await serving
            if self._registry:
                await self._registry.close()

    async def _front(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the gateway does, without its scoring path."""
        try:
            await self._route(scope, receive, send)
        except TidegateError as error:
            await _answer(send, http.error_body(error), http.status_of(error)[0])

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.paths.append(path)
        if path in OPEN:
            await _answer(send, b'{"status": "ok"}')
            return
        if http.bearer_token(dict(scope["headers"]).get(b"authorization")) != TOKEN:
            raise Unauthenticated("The token is not valid.")
        if path.startswith("/serving-endpoints/"):
            await self._score(scope, receive, send)
        elif path.startswith("/mlflow/") and self._registry:
            if refusal := self.refused.get(scope["method"]):
                raise refusal
            await self._registry.forward(scope, receive, send, [])
        elif path.startswith("/mlflow/"):
            raise NotFound("This platform uses an external registry; nothing is embedded under /mlflow.")
        elif self.away:
            raise self.away
        else:
            await self._api(told(scope, Principal("admin")), receive, send)

    async def _score(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        content_type = dict(scope["headers"]).get(b"content-type", b"").decode()
        self.requests.append((scope["path"], content_type, body))
        await self.house.endpoints.get(scope["path"].split("/")[2])
        if self.error:
            raise self.error
        await _answer(send, self.answer)


def _files(client: httpx.Client, run: str, folder: str) -> Iterator[tuple[str, int]]:
    listed = client.get("/artifacts/list", params={"run_id": run, "path": folder}).json()
    for file in listed.get("files", []):
        if file["is_dir"]:
            yield from _files(client, run, file["path"])
        else:
            yield file["path"].removeprefix("model/"), int(file["file_size"])


async def _do(function: Callable[[], object]) -> None:
    function()


async def _body(receive: Callable[[], Awaitable[Any]]) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _answer(send: Send, body: bytes, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
