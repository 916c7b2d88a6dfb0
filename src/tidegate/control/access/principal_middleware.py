"""Who calls control: the gateway has checked that, and says it in headers that no caller can send.

The middleware stands before the REST API and before the pages. The principal is in `request.state.principal`. A
session is checked here once more, as control knows of its end first.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate import http
from tidegate.control.access.sessions import Sessions
from tidegate.core.access.principal import ADDRESS_HEADER, PRINCIPAL_HEADER, SESSION_HEADER, Principal
from tidegate.core.errors import Unauthenticated

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
        state = {**scope.get("state", {}), "principal": principal, "sessions": self._sessions}
        await self._app({**scope, "state": state}, receive, send)

    async def _principal(self, request: Request) -> Principal | None:
        name, digest = request.headers.get(PRINCIPAL_HEADER), request.headers.get(SESSION_HEADER)
        if digest is not None:
            principal = self._sessions.principal(digest)
            if principal is None:
                raise Unauthenticated("The session has ended. Log in again.", challenge=False)
            await self._sessions.used(digest)
            return principal
        if name is not None:
            return Principal(name)
        if request.url.path not in OPEN:
            raise Unauthenticated("The request came without a gateway's word on who calls.", challenge=False)
        return None


def principal_of(request: Request) -> Principal:
    """Who calls. Raises Unauthenticated on an open path, where nobody has to say."""
    principal = getattr(request.state, "principal", None)
    if not isinstance(principal, Principal):
        raise Unauthenticated("Log in first.", challenge=False)
    return principal


def is_still_admitted(request: Request) -> bool:
    """Whether the session that a long answer goes to has not ended meanwhile. A token's holder stays admitted."""
    session = principal_of(request).session
    return not session or request.state.sessions.principal(session) is not None


def address_of(request: Request) -> str:
    """The address that the request came from, as the gateway saw it; empty where it said none."""
    return request.headers.get(ADDRESS_HEADER, "")
