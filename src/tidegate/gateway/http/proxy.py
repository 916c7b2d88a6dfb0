"""Requests that are passed on over Unix sockets: paths below /mlflow to the registry, all others to control."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import aiohttp
from yarl import URL

from tidegate import http
from tidegate.core.errors import PayloadTooLarge, TidegateError, Unavailable
from tidegate.event_streams import CONTENT_TYPE, EventStreams, Receive, Scope, Send, is_event_stream
from tidegate.gateway.http.client_presence import Client, ClientLeft
from tidegate.gateway.http.turns import Turn, Turns
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

REGISTRY_PREFIX = "/mlflow"
# MLflow streams files on these paths only without their prefix. With the prefix, it holds them in memory.
_ARTIFACT = re.compile(r"/mlflow(/(?:ajax-)?api/2\.0/mlflow-artifacts/artifacts/.+)")
_STREAMED = {"GET", "PUT"}
# On other paths, MLflow takes a body without a length for an empty one. Bodies of up to this number of bytes are read
# here and sent on with their length.
MAX_UNMEASURED_BYTES = 16 * 1024 * 1024
# MLflow's own pages write under `ajax-api`; its clients read the latest versions with a POST.
_REGISTRY_WRITES = re.compile(
    r"/mlflow/(?:ajax-)?api/2\.0/mlflow/(?:registered-models|model-versions)/(?!get-latest-versions)"
)
_WRITING = {"POST", "PUT", "PATCH", "DELETE"}
_SAFE = {"GET", "HEAD", "OPTIONS"}
# Control and the registry close a connection that has been idle for 5 s. One that they are closing takes no request.
_KEEP_IDLE_SECONDS = 4.0
# As uvicorn takes from the gateway's own clients.
_MAX_HEADER_BYTES = 64 * 1024
# How long the last bytes of an event stream may take when the server stops.
_END_SECONDS = 0.5

# Headers of one connection (RFC 9110, 7.6.1), and those that are not passed on, such as token and session.
_NOT_ON = {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer",
    b"transfer-encoding", b"upgrade", b"authorization", b"host", b"origin", b"expect", b"cookie",
    b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-prefix", b"x-real-ip",
}  # fmt: skip
_NOT_BACK = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"server", b"date"}
# MLflow's pages share their origin with Tidegate's own. They need inline scripts and `eval`: reports that were
# logged as HTML have the one, in a sandboxed frame that inherits the policy, and charts that compare runs the other.
REGISTRY_POLICY = b"base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'"


class Away(Unavailable):
    """The upstream cannot be reached."""


class Proxy:
    """Streams requests to one upstream on a Unix socket. `name` is its name in error sentences.

    `streams` are those of the gateway's server, and `turns` says how many requests the upstream gets at once. The pages
    of an upstream with a `policy` are not Tidegate's: they get this Content-Security-Policy, and set no cookie.
    """

    def __init__(self, name: str, socket: Path, streams: EventStreams, turns: Turns, policy: bytes = b"") -> None:
        self._name, self._streams, self._turns, self._policy = name, streams, turns, policy
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(socket), limit=0, keepalive_timeout=_KEEP_IDLE_SECONDS),
            # A query of the registry or an upload may take long; only connecting must be quick.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=2.0),
            # Requests and answers are sent on as they came.
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )

    async def close(self) -> None:
        """Close the connections to the upstream."""
        await self._session.close()

    async def answers(self, path: str) -> bool:
        """Whether the upstream answers this path now."""
        try:
            async with self._session.get(f"http://localhost{path}", timeout=aiohttp.ClientTimeout(2.0)) as answer:
                return answer.status < 500
        except (aiohttp.ClientError, OSError):  # a TimeoutError is one
            return False

    async def forward(self, scope: Scope, receive: Receive, send: Send, extra: http.Headers) -> int:
        """Stream the request to the upstream and the answer back. Returns the status.

        Raises Away when the upstream cannot be reached, Unavailable when it has its most requests, and ClientLeft when
        the client has gone before there was an answer.
        """
        client, status = Client(scope, receive), 0
        try:
            async with self._turns.turn(as_stream=asks_for_stream(scope)) as turn, client:
                answer = await self._answer(scope, client, extra)
                status = answer.status
                try:
                    await self._back(answer, client, turn, send, extra)
                finally:
                    answer.close()  # if the answer is whole, its connection has gone back to the others before
        except ClientLeft:
            if not status:
                raise
        except TimeoutError:
            if not client.limit.expired():
                raise
            await _end(client, receive, send)  # only an event stream expires, as the server stops
        finally:
            self._streams.discard(client.limit)
        return status

    async def _answer(self, scope: Scope, client: Client, extra: http.Headers) -> aiohttp.ClientResponse:
        """The answer, of which the head has come."""
        if scope["method"] in _SAFE:  # another one is carried out also if nobody waits for its answer
            client.may_leave()
        headers = [*_headers(scope["headers"], _NOT_ON), (b"host", b"localhost"), *_forwarded(scope), *extra]
        content = await _content(scope, client)
        try:
            return await self._session.request(
                scope["method"],
                URL(f"http://localhost{target(scope)}", encoded=True),
                headers=[(name.decode("latin-1"), _text(value)) for name, value in headers],
                data=content,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError):
            if client.left:
                raise ClientLeft from None
            raise self.away() from None

    async def _back(
        self, answer: aiohttp.ClientResponse, client: Client, turn: Turn, send: Send, extra: http.Headers
    ) -> None:
        """Send the answer to the client as it comes."""
        endless = is_event_stream(answer.raw_headers)
        if endless:
            turn.becomes_stream()
        headers = [*_headers(answer.raw_headers, _NOT_BACK), *extra]
        if self._policy:
            headers = _as_foreign(headers, self._policy)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if endless:
            self._streams.add(client.limit)
        client.may_leave()
        content, whole = answer.content, False
        while not whole:
            try:
                chunk = await content.readany()
            except (aiohttp.ClientError, OSError):
                if not endless:
                    if not client.left:
                        logger.warning("an answer is broken off, as its sender has done", extra=fields(by=self._name))
                    return
                chunk, whole = b"", True  # a proper end, after which a page asks again
            else:
                whole = content.at_eof()
            await send({"type": "http.response.body", "body": chunk, "more_body": not whole})

    def away(self) -> TidegateError:
        """The error while the upstream cannot be reached."""
        return Away(f"{self._name} cannot be reached at the moment. Try again in a second.", retry_after=1)


def _forwarded(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The host that the caller has named, as the request is sent on with another one."""
    return [(b"x-forwarded-host", value) for name, value in scope["headers"] if name == b"host"][:1]


def target(scope: Scope) -> str:
    """The path and query to send on, percent-encoded as they came. Paths of artifacts lose their prefix."""
    path: str = scope["raw_path"].decode("latin-1")
    artifact = _ARTIFACT.fullmatch(path)
    if artifact is not None and scope["method"] in _STREAMED:
        path = artifact[1]
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def asks_for_stream(scope: Scope) -> bool:
    """Whether the client accepts an event stream, as a browser's EventSource does."""
    return any(name == b"accept" and CONTENT_TYPE in value.lower() for name, value in scope["headers"])


def writes_registry(scope: Scope) -> bool:
    """Whether this request, if it succeeds, may change a registered model or a version of one."""
    return scope["method"] in _WRITING and _REGISTRY_WRITES.match(scope["path"]) is not None


def _headers(headers: Iterable[tuple[bytes, bytes]], without: set[bytes]) -> http.Headers:
    return [(name, value) for name, value in headers if name.lower() not in without]


def _as_foreign(headers: http.Headers, policy: bytes) -> http.Headers:
    kept = [header for header in headers if header[0].lower() != b"set-cookie"]
    return [*kept, (b"content-security-policy", policy)]


def _text(value: bytes) -> str:
    """A header's value so that it is sent on as it is. It is UTF-8, or else Latin-1, which becomes UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _content(scope: Scope, client: Client) -> AsyncIterator[bytes] | bytes | None:
    """The body to send on: streamed, or read whole where the upstream needs its length. None without a body."""
    headers = dict(scope["headers"])
    if headers.get(b"content-length", b"0") != b"0":
        return client.body()
    if b"transfer-encoding" not in headers:
        return None
    if target(scope).startswith(REGISTRY_PREFIX):
        return await _read_whole(client)
    return client.body()


async def _read_whole(client: Client) -> bytes:
    chunks, size = [], 0
    async for chunk in client.body():
        size += len(chunk)
        if size > MAX_UNMEASURED_BYTES:
            raise PayloadTooLarge("Send a body of this size with a Content-Length header.")
        chunks.append(chunk)
    return b"".join(chunks)


async def _end(client: Client, receive: Receive, send: Send) -> None:
    """End an event stream whose server stops. A client that does not read what it has been sent is cut off."""
    try:
        async with asyncio.timeout(_END_SECONDS):
            await send({"type": "http.response.body", "body": b""})
    except TimeoutError:
        client.abort()
        await receive()  # until the connection has gone
