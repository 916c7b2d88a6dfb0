"""The web application of all pages, and what holds for each: headers, errors, forms, who may."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.control.access.principal_middleware import PrincipalMiddleware
from tidegate.core.errors import BadRequest, Internal, MethodNotAllowed, NotFound, TidegateError
from tidegate.dashboard.live import streams
from tidegate.dashboard.page_permissions import PagePermissions
from tidegate.dashboard.pages import endpoint_list, login_page, platform_page
from tidegate.dashboard.pages.endpoint import logs_page, query_page, settings_page, slow_page
from tidegate.dashboard.pages.endpoint_changes import build_page, endpoint_actions, roll_outs, update_form
from tidegate.dashboard.pages.endpoint_overview import overview
from tidegate.dashboard.pages.endpoint_overview.situations import Situations
from tidegate.dashboard.pages.models import model_launch, model_list, model_page, serving_tab
from tidegate.dashboard.site import HEADERS, Site
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)


def create_web_app(site: Site) -> Starlette:
    """The application: every path that is no API's is a page's."""

    async def icon(_: Request) -> Response:
        return RedirectResponse(site.public_url.path(site.assets.url("favicon.svg")))

    situations = Situations(site.sources)
    routes: Sequence[Route] = [
        *login_page.routes(site),
        *endpoint_list.routes(site),
        *overview.routes(site, situations),
        *roll_outs.routes(site),
        *logs_page.routes(site),
        *query_page.routes(site),
        *settings_page.routes(site),
        *slow_page.routes(site),
        *endpoint_actions.routes(site),
        *update_form.routes(site),
        *build_page.routes(site),
        *model_list.routes(site),
        *platform_page.routes(site),
        *model_page.routes(site),
        *model_launch.routes(site),
        *serving_tab.routes(site),
        *streams.routes(site, situations),
        Route("/favicon.ico", icon),
    ]
    app = Starlette(routes=routes, exception_handlers=_handlers(site))
    app.add_middleware(PagePermissions, site=site)
    app.add_middleware(PrincipalMiddleware, sessions=site.sources.sessions)
    app.add_middleware(GZipMiddleware, compresslevel=6)
    app.add_middleware(_Headers)
    app.router.redirect_slashes = False
    return app


def faces(api: ASGIApp, web: ASGIApp) -> ASGIApp:
    """Control's two faces as one application: programs ask the API, and all other paths are pages'."""

    async def face(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        of_api = path.startswith("/api/") or path == "/metrics"
        await (api if of_api else web)(scope, receive, send)

    return face


def _handlers(site: Site) -> dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]:
    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, TidegateError)
        return site.error(request, error)

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return site.error(request, NotFound("There is no page at this address."))
        if error.status_code == 405:
            return site.error(request, MethodNotAllowed(f"{request.method} is not allowed here.", allow=["GET"]))
        return site.error(request, BadRequest("The request could not be understood."))

    async def defect(request: Request, error: Exception) -> Response:
        logger.exception("a page failed", exc_info=error, extra=fields(path=request.url.path))
        return site.error(
            request, Internal("Tidegate failed to make this page because of a defect; control's log has its traceback.")
        )

    return {TidegateError: known, HTTPException: unrouted, Exception: defect}


class _Headers:
    """ASGI middleware: every answer has the policy of our pages; a HEAD has no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)
