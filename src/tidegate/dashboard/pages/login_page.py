"""Logging in by a token, and logging out."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tidegate.control.access.principal_middleware import address_of, is_known
from tidegate.control.access.session_cookie import remove_cookie, set_cookie
from tidegate.core.access.own_path import own_path
from tidegate.core.access.principal import SESSION_HEADER
from tidegate.core.errors import TidegateError
from tidegate.dashboard.forms import read_form
from tidegate.dashboard.site import Site
from tidegate.http import error_headers, status_of


def routes(site: Site) -> list[Route]:
    """The routes of the log-in. They are the only ones that need no caller who is known."""

    async def log_in(request: Request) -> Response:
        if request.method != "POST":
            wanted = own_path(request.query_params.get("next", "/"))
            if is_known(request):
                return _onwards(site, wanted)
            return site.page(request, "login.html", _view(wanted))
        form = await read_form(request)
        wanted = own_path(form.text("next", "/"))
        try:
            session = await site.sources.sessions.log_in(form.text("token"), address_of(request))
        except TidegateError as error:
            page = site.page(request, "login.html", _view(wanted, error.message), status=status_of(error)[0])
            page.raw_headers.extend(header for header in error_headers(error) if header[0] == b"retry-after")
            return page
        answer = _onwards(site, wanted)
        answer.headers["set-cookie"] = set_cookie(session.secret, site.public_url)
        return answer

    async def log_out(request: Request) -> Response:
        await site.sources.sessions.log_out(request.headers.get(SESSION_HEADER, ""))
        answer = RedirectResponse(site.public_url.path("/login"), 303)
        answer.headers["set-cookie"] = remove_cookie(site.public_url)
        return answer

    return [Route("/login", log_in, methods=["GET", "POST"]), Route("/logout", log_out, methods=["POST"])]


def _view(wanted: str, refusal: str = "") -> dict[str, Any]:
    return {"next": wanted, "refusal": refusal}


def _onwards(site: Site, wanted: str) -> Response:
    return RedirectResponse(site.public_url.path(wanted), 303)
