"""What comes before every route: leniency towards clients, a limit on bodies, and one shape for every error."""

import logging
from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.api.body_limit import read_bounded
from tidegate.core.errors import (
    BadRequest,
    Internal,
    InvalidParameter,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    TidegateError,
    UnsupportedMediaType,
)
from tidegate.http import error_body, error_headers, status_of
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

TOO_DEEP = "The body is nested too deeply."

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

# The older products' calls had the first prefix in their preview, and both prefixes later.
_PREVIEW, _RELEASED = "/api/2.0/preview/mlflow/endpoints", "/api/2.0/mlflow/endpoints"


class ApiMiddleware:
    """ASGI middleware. A path may end with a slash, and may be that of a preview. A body is JSON whatever its content
    type, and has at most MAX_BODY_BYTES. A defect is answered in the house error shape.

    Redirects would not do: clients lose the body of a POST on them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        coding = dict(scope["headers"]).get(b"content-encoding", b"identity")
        if coding.strip().lower() not in (b"", b"identity"):
            name = coding.decode("latin-1")[:40]
            refusal = UnsupportedMediaType(
                f"The body's Content-Encoding {name!a} is decoded by scoring only; send none."
            )
            await error_response(refusal)(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        scope = {
            **scope,
            "path": _plain(path),
            "headers": [*headers, (b"content-type", b"application/json")],
        }
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, await read_bounded(scope, receive), note)
        except PayloadTooLarge as refusal:
            await error_response(refusal)(scope, receive, send)
        except Exception:
            logger.exception("a request failed", extra=fields(method=scope["method"], path=path))
            if started:
                raise
            failure = Internal("Tidegate failed to answer because of a defect; the server's log has its traceback.")
            await error_response(failure)(scope, receive, send)


def _plain(path: str) -> str:
    if path.startswith(_PREVIEW):
        path = _RELEASED + path.removeprefix(_PREVIEW)
    return path.rstrip("/") or "/"


def error_response(error: TidegateError) -> Response:
    """An error in the house shape."""
    response = Response(error_body(error), status_of(error)[0])
    response.raw_headers.extend(error_headers(error))
    return response


def handle_errors(app: FastAPI) -> None:
    """Have every error answered in the house shape."""

    async def known(_: Request, error: Exception) -> Response:
        assert isinstance(error, TidegateError)
        return error_response(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return error_response(_validation_error(error.errors()))

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return error_response(_routing_error(request, error))

    app.add_exception_handler(TidegateError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, unrouted)


def _validation_error(problems: Sequence[dict[str, object]]) -> TidegateError:
    """An error with the first problems, by field. It never has the values that were sent."""
    if any(problem["type"] == "json_invalid" for problem in problems):
        return BadRequest("The body is not valid JSON.")
    return InvalidParameter("; ".join(_problem(problem) for problem in problems[:5]) + ".")


def _problem(problem: dict[str, object]) -> str:
    place = problem["loc"]
    assert isinstance(place, tuple)
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place[1:]).lstrip(".")
    if problem["type"] == "missing":
        return f"{field or 'The body'} is missing"
    return f"{field or 'The body'}: {str(problem['msg'])[:1].lower()}{str(problem['msg'])[1:]}"


def _allowed(request: Request) -> list[str]:
    """The methods of all routes with this path. FastAPI knows only those of the first."""

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in _METHODS if takes(method)]


def _routing_error(request: Request, error: HTTPException) -> TidegateError:
    if error.status_code == 405:
        return MethodNotAllowed(f"{request.method} is not allowed here.", allow=_allowed(request))
    if error.status_code == 404:
        return NotFound("There is nothing at this path.")
    if isinstance(error.__cause__, RecursionError):
        return BadRequest(TOO_DEEP)
    return BadRequest("The request could not be understood.")
