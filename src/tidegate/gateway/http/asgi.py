"""All requests but scoring: the open paths, static files, control and the registry. Raw ASGI.

Scoring requests do not come here: `gateway/http/client_connection.py` hands them to `gateway/scoring/request.py`.
"""

import asyncio
import logging
import time
from collections.abc import Mapping

from tidegate import http, web_assets
from tidegate.core import errors
from tidegate.core.access.principal import Principal
from tidegate.core.errors import TidegateError
from tidegate.event_streams import Receive, Scope, Send
from tidegate.gateway.http import away_page, callers, proxy
from tidegate.gateway.http.client_presence import ClientLeft
from tidegate.gateway.http.limited_connection import CHECK_SECONDS, LimitedConnection
from tidegate.gateway.http.proxy import Away, Proxy
from tidegate.gateway.links.control_link import ControlLink
from tidegate.gateway.scoring import cors
from tidegate.gateway.scoring.scoring_path import Scoring
from tidegate.supervised import supervised
from tidegate.web_assets import WebAssets

logger = logging.getLogger(__name__)


class Handler:
    """The gateway's ASGI application, and what its connections share."""

    def __init__(
        self, scoring: Scoring, control: Proxy, registry: Proxy | None, control_link: ControlLink, assets: WebAssets
    ) -> None:
        self.scoring, self.meter, self.settings = scoring, scoring.meter, scoring.settings
        self.connections: set[LimitedConnection] = set()
        self._control, self._registry, self._control_link = control, registry, control_link
        self._assets = assets
        self._was_ready = False
        self._checking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to check the time limits of connections."""
        self._checking = asyncio.create_task(supervised(self._check, "checks of connections"))

    async def stop(self) -> None:
        """End the checks."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            now = time.monotonic()
            for connection in list(self.connections):
                try:
                    connection.check(now)
                except Exception:  # the limits of all other clients hold nevertheless
                    logger.exception("a connection's check failed by a defect; it is closed")
                    self.connections.discard(connection)
                    connection.transport.abort()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        if path in _OPEN:
            await self._open(path, send)
        elif path.startswith(web_assets.PREFIX):
            await self._static(scope, send)
        else:
            await self._elsewhere(scope, receive, send)

    async def _open(self, path: str, send: Send) -> None:
        """Answer a path that needs no token."""
        if path == "/readyz" and not await self._ready():
            await _send_error(send, errors.Unavailable("The platform is starting.", retry_after=1), [])
        else:
            await _send(send, 200, [(b"content-type", b"application/json")], _OPEN[path])

    async def _static(self, scope: Scope, send: Send) -> None:
        """Answer with a static file. It needs no token: the log-in page has it too."""
        headers = dict(scope["headers"])
        try:
            if scope["method"] not in {"GET", "HEAD"}:
                raise errors.MethodNotAllowed("Static files are read by GET or HEAD.", allow=["GET", "HEAD"])
            answer = self._assets.answer(scope["path"], headers.get(b"accept-encoding"), headers.get(b"if-none-match"))
            if answer is None:
                raise errors.NotFound("There is no static file of this name. Load the page that names it again.")
        except TidegateError as error:
            await self._refuse(error, http.request_id(headers.get(b"x-request-id")), send)
        else:
            await _send(send, answer.status, answer.headers, answer.body)

    async def _ready(self) -> bool:
        """Whether the gateway can score. At the start, control and registry must answer too."""
        has_tables = self.scoring.router.table is not None and self.scoring.tokens.table is not None
        if not self._was_ready and has_tables and self._control_link.connected:
            registry = self._registry
            up = registry is None or await registry.answers("/mlflow/health")
            self._was_ready = up and await self._control.answers("/api/openapi.json")
        return self._was_ready and has_tables

    async def _elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = http.request_id(headers.get(b"x-request-id"))
        public = self.scoring.public
        try:
            anybody = scope["path"] in callers.OPEN
            principal = self._known_caller(headers) if anybody else self._check_caller(scope, headers)
            cors.check_same_site(headers, public.origin.encode())
            if anybody:
                receive = await callers.body_first(receive)
            if scope["path"] == proxy.REGISTRY_PREFIX:
                await _send(send, 308, [(b"location", public.path("/mlflow/").encode())], b"")
                return
            upstream = self._upstream(scope["path"])
            passed_on = callers.told(scope, principal) if upstream is self._control else callers.untold(scope)
            status = await upstream.forward(passed_on, receive, send, [(b"x-request-id", request_id)])
        except ClientLeft:
            return
        except errors.Unauthenticated as error:
            location = callers.log_in_page(scope, headers, public)
            if location is None:
                await self._refuse(error, request_id, send)
            else:
                await _send(send, 303, [(b"location", location), (b"cache-control", b"no-store")], b"")
            return
        except TidegateError as error:
            page = isinstance(error, Away) and away_page.answer(scope, headers, self._assets, public)
            if page:
                await _send(send, http.status_of(error)[0], *page)
            else:
                await self._refuse(error, request_id, send)
            return
        if status < 400 and proxy.writes_registry(scope):
            self.meter.registry_writes += 1
            self._control_link.report_now()

    async def _refuse(self, error: TidegateError, request_id: bytes, send: Send) -> None:
        self.meter.refuse(http.status_of(error)[0])
        await _send_error(send, error, [(b"x-request-id", request_id)])

    def _known_caller(self, headers: Mapping[bytes, bytes]) -> Principal | None:
        """Who asks for an open path, if that is known: the log-in sends people on who have logged in."""
        try:
            return self.scoring.tokens.check(b"GET", headers)
        except (errors.Unauthenticated, errors.Unavailable):
            return None

    def _check_caller(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Principal:
        """Who calls, as for scoring. For MLflow's clients, the error names their variable for a token."""
        try:
            return self.scoring.tokens.check(scope["method"].encode(), headers)
        except errors.Unauthenticated as error:
            if not scope["path"].startswith(proxy.REGISTRY_PREFIX) or not error.challenge:  # it is a page that asks
                raise
            raise errors.Unauthenticated(f"{error.message} MLflow sends what is in MLFLOW_TRACKING_TOKEN.") from None

    def _upstream(self, path: str) -> Proxy:
        if path != proxy.REGISTRY_PREFIX and not path.startswith(proxy.REGISTRY_PREFIX + "/"):
            return self._control
        if self._registry is None:
            raise errors.NotFound("This platform uses an external registry; nothing is embedded under /mlflow.")
        return self._registry


# Databricks' SDK asks for the last one before anything else, and blocks for minutes where it gets a 503.
_OPEN = {"/healthz": b'{"status":"ok"}', "/readyz": b'{"status":"ok"}', "/.well-known/databricks-config": b"{}"}


async def _send_error(send: Send, error: TidegateError, extra: http.Headers) -> None:
    await _send(send, http.status_of(error)[0], [*http.error_headers(error), *extra], http.error_body(error))


async def _send(send: Send, status: int, headers: http.Headers, body: bytes) -> None:
    if status != 304:  # there it would be the length of the file that the client has
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
