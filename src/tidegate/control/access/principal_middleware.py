"""Who calls control: the gateway has checked that, and says it in headers that no caller can send.

The middleware stands before the REST API and before the pages. The principal is in `request.state.principal`. A
session is checked here once more, as control knows of its end first. An event stream goes on for hours: it ends with
the session that it was asked for by.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate import http
from tidegate.control.access.sessions import Sessions
from tidegate.core.access.principal import ADDRESS_HEADER, PRINCIPAL_HEADER, SESSION_HEADER, Principal
from tidegate.core.errors import Unauthenticated
from tidegate.event_streams import expire, is_event_stream

OPEN = frozenset(("/api/openapi.json", "/favicon.ico", "/login"))
"""Paths that need no principal. Gateways ask the first one themselves, to see that control is up."""


class PrincipalMiddleware:
    """ASGI middleware: each request but those of open paths has a principal, or gets 401."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._principal(Request(scope))
        except Unauthenticated as refusal:
            answer = Response(http.error_body(refusal), http.status_of(refusal)[0])
            answer.raw_headers.extend(http.error_headers(refusal))
            await answer(scope, receive, send)
            return
        state = {**scope.get("state", {}), "principal": principal}
        answered = {**scope, "state": state}
        if principal is None or not principal.session:
            await self._app(answered, receive, send)
        else:
            await self._by_session(principal.session, answered, receive, send)

    async def _by_session(self, digest: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and end an event stream properly at its next message after the session's end."""
        limit, streams = asyncio.timeout(None), False

        async def checked(message: Message) -> None:
            nonlocal streams
            if message["type"] == "http.response.start":
                streams = is_event_stream(message.get("headers", ()))
            elif streams and self._sessions.principal(digest) is None:
                expire(limit)
                await asyncio.get_running_loop().create_future()  # until this is cancelled
            await send(message)

        try:
            async with limit:
                await self._app(scope, receive, checked)
        except TimeoutError:
            if not limit.expired():
                raise
            await send({"type": "http.response.body", "body": b""})

    async def _principal(self, request: Request) -> Principal | None:
        name, digest = request.headers.get(PRINCIPAL_HEADER), request.headers.get(SESSION_HEADER)
        if digest is not None:
            principal = self._sessions.principal(digest)
            if principal is None and request.url.path in OPEN:
                return None
            if principal is None:
                raise Unauthenticated("The session has ended. Log in again.", challenge=False)
            await self._sessions.used(digest)
            return principal
        if name is not None:
            return Principal(name)
        if request.url.path not in OPEN:
            raise Unauthenticated("The request came without a gateway's word on who calls.", challenge=False)
        return None


def is_known(request: Request) -> bool:
    """Whether it is known who calls: on an open path, that need not be."""
    return getattr(request.state, "principal", None) is not None


def principal_of(request: Request) -> Principal:
    """Who calls. Raises Unauthenticated on an open path, where nobody has to say."""
    principal = getattr(request.state, "principal", None)
    if not isinstance(principal, Principal):
        raise Unauthenticated("Log in first.", challenge=False)
    return principal


def address_of(request: Request) -> str:
    """The address that the request came from, as the gateway saw it; empty where it said none."""
    return request.headers.get(ADDRESS_HEADER, "")
