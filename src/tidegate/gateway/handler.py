"""The scoring path, top to bottom, and the door to everything else. Raw ASGI: no framework between socket and model.

A request's walk: credentials → endpoint → body, sized while it is read → revision → queue → replica → answer. The body
is not parsed here; a replica does that. What is not scoring goes on to control or to the registry.
"""

import asyncio
import logging
import time

from tidegate import http
from tidegate.core import errors
from tidegate.core.errors import TidegateError
from tidegate.gateway import admission, proxy
from tidegate.gateway.control_link import ControlLink
from tidegate.gateway.meter import Account, Meter
from tidegate.gateway.proxy import Proxy, Receive, Scope, Send
from tidegate.gateway.queue import Caller, ClientGone, Pending, RevisionQueue
from tidegate.gateway.router import Router
from tidegate.settings import GatewaySettings
from tidegate.telemetry import fields
from tidegate_worker import wire

logger = logging.getLogger(__name__)

_OUTCOMES: dict[int, type[TidegateError]] = {
    wire.BAD_REQUEST: errors.BadRequest,
    wire.UNSUPPORTED_MEDIA_TYPE: errors.UnsupportedMediaType,
    wire.MODEL_ERROR: errors.ModelError,
    wire.BAD_OUTPUT: errors.ModelError,
    wire.TIMED_OUT: errors.DeadlineExceeded,
    wire.INTERNAL: errors.Internal,
}

# Metadata that travels with a request: header → key on the wire.
_TRAVELS = {b"content-type": "content-type", b"traceparent": "traceparent"}


class Handler:
    """The gateway's ASGI application."""

    def __init__(
        self,
        router: Router,
        meter: Meter,
        settings: GatewaySettings,
        control: Proxy,
        registry: Proxy | None,
        control_link: ControlLink,
    ) -> None:
        self._router, self._meter, self._settings = router, meter, settings
        self._control, self._registry, self._control_link = control, registry, control_link
        self._admission = admission.Admission()
        self._loop = asyncio.get_running_loop()
        self._was_ready = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path.endswith("/invocations") and path.startswith("/serving-endpoints/"):
            await self._invocations(scope, receive, send, path)
        elif path in _OPEN:
            await self._open(path, send)
        else:
            await self._elsewhere(scope, receive, send)

    # scoring

    async def _invocations(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        started = time.monotonic()
        headers = dict(scope["headers"])
        request_id = http.request_id(headers.get(b"x-request-id"))
        try:
            self._admission.check(headers.get(b"authorization"), self._router.table)
            name, served = _parse(path)
            endpoint = self._router.endpoint(name)
            if scope["method"] != "POST":
                raise errors.MethodNotAllowed("Scoring takes POST.")
        except TidegateError as error:
            self._meter.refuse(http.status_of(error)[0])
            await _send_error(send, error, [(b"x-request-id", request_id)])
            return
        account = self._meter.account(endpoint.name)
        account.accept()
        try:
            body = await self._read(receive, headers.get(b"content-length"))
            # Asked for again: while the body came in, the endpoint may have been switched to another revision.
            queue = self._router.queue(self._router.endpoint(name), served)
            pending = self._pending(queue, body, headers, request_id, receive, started)
            queue.submit(pending)
            answer = await pending.future
        except ClientGone:
            account.leave()
        except TidegateError as error:
            _close(account, error, time.monotonic() - started)
            await _send_error(send, error, [(b"x-request-id", request_id)])
        except asyncio.CancelledError:  # the server ends; the ledger must balance all the same
            account.reject(503, time.monotonic() - started)
            raise
        except Exception:
            logger.exception("a request failed by a defect", extra=fields(request=request_id.decode()))
            account.reject(500, time.monotonic() - started)
            sentence = "A defect of Tidegate; the gateway's log has it under this request's x-request-id."
            await _send_error(send, errors.Internal(sentence), [(b"x-request-id", request_id)])
        else:
            seconds = time.monotonic() - started
            extra = _answer_headers(pending, answer, request_id, seconds)
            if answer.outcome == wire.OK:
                account.answer(200, seconds, len(body), len(answer.body))
                await _send(send, 200, [(b"content-type", b"application/json"), *extra], answer.body)
            else:
                failure = _OUTCOMES.get(answer.outcome, errors.Internal)(answer.body.decode())
                _close_answered(account, failure, seconds, len(body))
                await _send_error(send, failure, extra)

    async def _read(self, receive: Receive, content_length: bytes | None) -> bytes:
        limit = self._settings.max_body_bytes
        admission.check_length(content_length, limit)
        message = await receive()
        if not message.get("more_body", False) and message["type"] == "http.request":
            body: bytes = message.get("body", b"")
            if len(body) > limit:
                raise admission.too_large(limit)
            return body
        chunks, size = [], 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise admission.too_large(limit)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)
            message = await receive()

    def _pending(
        self,
        queue: RevisionQueue,
        body: bytes,
        headers: dict[bytes, bytes],
        request_id: bytes,
        receive: Receive,
        started: float,
    ) -> Pending:
        meta = [("request-id", request_id.decode("latin-1"))]
        meta += [(key, headers[name].decode("latin-1")) for name, key in _TRAVELS.items() if name in headers]
        deadline = started + min(queue.route.timeout_seconds, self._settings.answer_within_seconds)
        return Pending(body, wire.pack_meta(meta), deadline, self._loop.create_future(), _caller(receive))

    # everything else

    async def _open(self, path: str, send: Send) -> None:
        """The paths that need no token, answered here and at once."""
        if path == "/readyz" and not await self._ready():
            await _send_error(send, errors.Unavailable("The platform is starting.", retry_after=1), [])
        else:
            await _send(send, 200, [(b"content-type", b"application/json")], _OPEN[path])

    async def _ready(self) -> bool:
        """Control and registry are waited for once, at the start; from then on ready means able to score."""
        if not self._was_ready and self._router.table is not None and self._control_link.connected:
            registry = self._registry
            up = registry is None or await registry.answers("/mlflow/health")
            self._was_ready = up and await self._control.answers("/api/openapi.json")
        return self._was_ready and self._router.table is not None

    async def _elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = http.request_id(headers.get(b"x-request-id"))
        try:
            self._admission.check(headers.get(b"authorization"), self._router.table)
            proxy.check_origin(scope["headers"])
            if scope["path"] == proxy.REGISTRY_PREFIX:
                await _send(send, 308, [(b"location", b"/mlflow/")], b"")
                return
            status = await self._upstream(scope["path"]).forward(scope, receive, send, [(b"x-request-id", request_id)])
        except proxy.ClientLeft:
            return
        except TidegateError as error:
            self._meter.refuse(http.status_of(error)[0])
            await _send_error(send, error, [(b"x-request-id", request_id)])
            return
        if status < 400 and proxy.writes_registry(scope):
            self._meter.registry_writes += 1
            self._control_link.report_now()

    def _upstream(self, path: str) -> Proxy:
        if path != proxy.REGISTRY_PREFIX and not path.startswith(proxy.REGISTRY_PREFIX + "/"):
            return self._control
        if self._registry is None:
            raise errors.NotFound("This platform uses an external registry; nothing is embedded under /mlflow.")
        return self._registry


# Databricks' SDK asks for the last one before anything else, and blocks for minutes where it gets a 503.
_OPEN = {"/healthz": b'{"status":"ok"}', "/readyz": b'{"status":"ok"}', "/.well-known/databricks-config": b"{}"}


def _parse(path: str) -> tuple[str, str | None]:
    """Endpoint and served entity of a scoring path. Raises NotFound."""
    parts = path.split("/")
    if len(parts) == 4:
        return parts[2], None
    if len(parts) == 6 and parts[3] == "served-models":
        return parts[2], parts[4]
    raise errors.NotFound("There is nothing at this path. Score at /serving-endpoints/<name>/invocations.")


def _caller(receive: Receive) -> Caller | None:
    """uvicorn's request cycle: it knows at any moment, and without a waiting task, whether its client has gone."""
    cycle = getattr(receive, "__self__", None)
    return cycle if hasattr(cycle, "disconnected") else None


def _server_timing(meta: bytes, seconds: float) -> bytes:
    """`Server-Timing` (W3C), in milliseconds: the worker's steps, and the whole way through the gateway."""
    steps = [f"{key};dur={int(value) / 1000:.3f}" for key, value in wire.unpack_meta(meta).items()]
    return ", ".join([*steps, f"total;dur={seconds * 1000:.3f}"]).encode()


def _answer_headers(pending: Pending, answer: wire.Answer, request_id: bytes, seconds: float) -> http.Headers:
    assert pending.route is not None
    return [
        (b"served-model-name", pending.route.served_entity.encode()),
        (b"x-request-id", request_id),
        (b"server-timing", _server_timing(answer.meta, seconds)),
    ]


def _close(account: Account, error: TidegateError, seconds: float) -> None:
    """Close the account of a request that no replica answered."""
    status = http.status_of(error)[0]
    if isinstance(error, errors.DeadlineExceeded):
        account.time_out(status, seconds)
    elif isinstance(error, errors.ModelCrashed):
        account.answer(status, seconds, 0, 0)
    else:
        account.reject(status, seconds)


def _close_answered(account: Account, error: TidegateError, seconds: float, bytes_in: int) -> None:
    """Close the account of a request that a replica answered with an error."""
    status = http.status_of(error)[0]
    if isinstance(error, errors.DeadlineExceeded):
        account.time_out(status, seconds)
    else:
        account.answer(status, seconds, bytes_in, 0)


async def _send_error(send: Send, error: TidegateError, extra: http.Headers) -> None:
    await _send(send, http.status_of(error)[0], [*http.error_headers(error), *extra], http.error_body(error))


async def _send(send: Send, status: int, headers: http.Headers, body: bytes) -> None:
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
