"""Requests that are passed on over Unix sockets: paths below /mlflow to the registry, all others to control."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import httpx

from tidegate.core.errors import PayloadTooLarge, TidegateError, Unavailable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

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

# Headers of one connection (RFC 9110, 7.6.1), and those that are not passed on, such as the token.
_NOT_ON = {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer",
    b"transfer-encoding", b"upgrade", b"authorization", b"host", b"origin", b"expect",
    b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-prefix", b"x-real-ip",
}  # fmt: skip
_NOT_BACK = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"server", b"date"}


class ClientLeft(Exception):
    """The client has gone during its upload."""


class Proxy:
    """Streams requests to one upstream on a Unix socket. `name` is its name in error sentences."""

    def __init__(self, name: str, socket: Path) -> None:
        self._name = name
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket), limits=httpx.Limits(max_connections=None)),
            # A query of the registry or an upload may take long; only connecting must be quick.
            timeout=httpx.Timeout(None, connect=2.0),
        )

    async def close(self) -> None:
        """Close the connections to the upstream."""
        await self._client.aclose()

    async def answers(self, path: str) -> bool:
        """Whether the upstream answers this path now."""
        try:
            answer = await self._client.get(f"http://localhost{path}", timeout=2.0)
        except httpx.HTTPError:
            return False
        return answer.status_code < 500

    async def forward(self, scope: Scope, receive: Receive, send: Send, extra: list[tuple[bytes, bytes]]) -> int:
        """Stream the request to the upstream and the answer back. Returns the status.

        Raises Unavailable when the upstream cannot be reached, and ClientLeft when the client has gone.
        """
        request = self._client.build_request(
            scope["method"],
            f"http://localhost{target(scope)}",
            headers=[*_headers(scope["headers"], _NOT_ON), (b"host", b"localhost"), *_forwarded(scope), *extra],
            content=await _content(scope, receive),
        )
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.TransportError:
            raise self.away() from None
        try:
            headers = [*_headers(answer.headers.raw, _NOT_BACK), *extra]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()
        return answer.status_code

    def away(self) -> TidegateError:
        """The error while the upstream cannot be reached."""
        return Unavailable(f"{self._name} cannot be reached at the moment. Try again in a second.", retry_after=1)


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


def writes_registry(scope: Scope) -> bool:
    """Whether this request, if it succeeds, may change a registered model or a version of one."""
    return scope["method"] in _WRITING and _REGISTRY_WRITES.match(scope["path"]) is not None


def _headers(headers: list[tuple[bytes, bytes]], without: set[bytes]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in without]


async def _content(scope: Scope, receive: Receive) -> AsyncIterator[bytes] | bytes | None:
    """The body to send on: streamed, or read whole where the upstream needs its length. None without a body."""
    names = {name for name, _ in scope["headers"]}
    if b"content-length" in names:
        return _body(receive)
    if b"transfer-encoding" not in names:
        return None
    if target(scope).startswith(REGISTRY_PREFIX):
        return await _read_whole(receive)
    return _body(receive)


async def _read_whole(receive: Receive) -> bytes:
    chunks, size = [], 0
    async for chunk in _body(receive):
        size += len(chunk)
        if size > MAX_UNMEASURED_BYTES:
            raise PayloadTooLarge("Send a body of this size with a Content-Length header.")
        chunks.append(chunk)
    return b"".join(chunks)


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body", False):
            return
