"""What a gateway does with callers besides checking them: it tells control who they are, and has browsers log in."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

from tidegate import http
from tidegate.core.access.own_path import own_path
from tidegate.core.access.principal import ADDRESS_HEADER, HEADERS, PRINCIPAL_HEADER, SESSION_HEADER, Principal
from tidegate.core.errors import PayloadTooLarge
from tidegate.event_streams import Receive, Scope
from tidegate.gateway.http.client_presence import ClientLeft
from tidegate.gateway.http.proxy import REGISTRY_PREFIX
from tidegate.gateway.scoring import token_check
from tidegate.public_url import PublicUrl

LOG_IN = "/login"
OPEN = frozenset((LOG_IN, "/favicon.ico"))
"""Paths that control answers to anybody."""

MAX_OPEN_BYTES = 16 * 1024
"""The longest body of a request to one of them."""

# Whoever asks these is a program, or a page of MLflow's.
_NO_PAGES = re.compile(r"/(?:api|mlflow|metrics)(?:/.*)?|/endpoints/[^/]+/invocations/?")


def told(scope: Scope, principal: Principal | None) -> Scope:
    """The request as control gets it: with who calls and from where, which no caller can say of itself."""
    headers = _without_claims(scope["headers"])
    if scope.get("client"):
        headers.append((ADDRESS_HEADER.encode(), scope["client"][0].encode()))
    if principal is not None:
        headers.append((PRINCIPAL_HEADER.encode(), principal.name.encode()))
        if principal.session:
            headers.append((SESSION_HEADER.encode(), principal.session.encode()))
    return {**scope, "headers": headers}


def untold(scope: Scope) -> Scope:
    """The request as the registry gets it."""
    return {**scope, "headers": _without_claims(scope["headers"])}


async def body_first(receive: Receive) -> Receive:
    """Read the body of a request that anybody may send, before it gets a turn: turns are few, and a body may drip.

    Raises PayloadTooLarge, and ClientLeft when the body will never be whole.
    """
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        body += message.get("body", b"")
        if len(body) > MAX_OPEN_BYTES:
            raise PayloadTooLarge(f"A log-in has at most {MAX_OPEN_BYTES} bytes.")
        more = message.get("more_body", False)
    whole = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return whole.pop() if whole else await receive()

    return again


def _without_claims(headers: http.Headers) -> http.Headers:
    # WSGI servers take `x_tidegate_principal` for the same name.
    return [header for header in headers if not header[0].replace(b"_", b"-").startswith(HEADERS.encode())]


def log_in_page(scope: Scope, headers: Mapping[bytes, bytes], public: PublicUrl) -> bytes | None:
    """Where a browser goes that has come to a page without valid credentials; None for other requests."""
    if not _navigates(scope["method"], headers):
        return None
    path: str = scope["path"]
    of_a_session = path.startswith(REGISTRY_PREFIX) and token_check.secrets_of(headers)
    if _NO_PAGES.fullmatch(path) and not of_a_session:
        return None
    wanted, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    back = own_path(f"{wanted}?{query}" if query else wanted) if scope["method"] == "GET" else "/"
    return f"{public.path(LOG_IN)}?next={quote(back, safe='/')}".encode()


def asks_for_page(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser goes to one of Tidegate's pages, with or without credentials."""
    shows_page = headers.get(b"sec-fetch-mode") == b"navigate" and b"text/html" in headers.get(b"accept", b"")
    return shows_page and not _NO_PAGES.fullmatch(scope["path"])


def _navigates(method: str, headers: Mapping[bytes, bytes]) -> bool:
    mode = headers.get(b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate"
    # Browsers send no such header to plain http on another machine.
    return method == "GET" and b"text/html" in headers.get(b"accept", b"") and b"authorization" not in headers
