"""What one must be allowed to do for each page and action, by its address. An address that is not known is the most."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.control.access.principal_middleware import principal_of
from tidegate.core.access import permissions
from tidegate.core.access.permissions import PLATFORM, Action, Kind, Resource
from tidegate.core.errors import TidegateError
from tidegate.dashboard.site import Site

Rule = tuple[Action, Resource]

_ANYBODY = frozenset(("/favicon.ico", "/login", "/logout"))
_READING = frozenset(("GET", "HEAD"))


def rule(method: str, path: str) -> Rule | None:
    """What a request does with which resource; None for what anybody may."""
    if path in _ANYBODY:
        return None
    reads = method in _READING
    match path.strip("/").removeprefix("live/").split("/"):
        case ["endpoints", name, "query" | "invocations", *_]:
            return Action.QUERY, Resource(Kind.ENDPOINT, name)
        case ["endpoints", name, *_]:
            return Action.VIEW if reads else Action.MANAGE, Resource(Kind.ENDPOINT, name)
        case ["models", _, "launch", *_]:
            return Action.CREATE, Resource(Kind.ENDPOINT)
        case ["models", name, *_]:
            return Action.VIEW if reads else Action.MANAGE, Resource(Kind.MODEL, name)
        case ["models"] if reads:
            return Action.VIEW, Resource(Kind.MODEL)
        case ["" | "endpoints" | "find"] if reads:
            return Action.VIEW, Resource(Kind.ENDPOINT)
        case ["endpoints"]:
            return Action.CREATE, Resource(Kind.ENDPOINT)
        case ["platform", *_] if reads:
            return Action.VIEW, PLATFORM
    return Action.ADMINISTER, PLATFORM


class PagePermissions:
    """ASGI middleware: a caller who may not do what a page does gets the page of that error."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = rule(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if asked is not None:
            request = Request(scope)
            try:
                permissions.check(principal_of(request), *asked)
            except TidegateError as error:
                await self._site.error(request, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
