"""The REST API: Databricks' serving-endpoints routes, its older products', what only Tidegate has, and /metrics.

The gateway has already seen to who is calling, and `route_permissions.py` says what they must be allowed to do.
Every JSON answer is an object; a deletion answers `{}`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import JSONResponse, Response

import tidegate
from tidegate.api.activity import activity
from tidegate.api.classic import classic
from tidegate.api.endpoint_json import endpoint_json, event_json, list_item_json, replica_json, tags_json
from tidegate.api.gate_body import GateIn, gate_json
from tidegate.api.middleware import ApiMiddleware, handle_errors
from tidegate.api.request_bodies import ConfigIn, EndpointIn, TagsPatchIn
from tidegate.api.route_permissions import check_route
from tidegate.api.serverless import serverless
from tidegate.api.switches_json import switches_json
from tidegate.control.access.principal_middleware import PrincipalMiddleware, principal_of
from tidegate.control.access.sessions import Sessions
from tidegate.control.endpoints.endpoint_verbs import Endpoints
from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.control.registry.enabled_models import EnabledModels
from tidegate.control.reporting.prometheus_metrics import TEXT, Metrics
from tidegate.control.series.series import Series
from tidegate.core.errors import InvalidParameter
from tidegate.public_url import PublicUrl

_ENDPOINTS = "/api/2.0/serving-endpoints"


def create_app(
    endpoints: Endpoints,
    enablements: EnabledModels,
    metrics: Metrics,
    sessions: Sessions,
    series: Series,
    memory_limit: int = 0,
    public: PublicUrl = PublicUrl(),  # noqa: B008 - a frozen value
) -> FastAPI:
    """The application over these verbs and metrics, for callers whom a gateway or `sessions` knows.

    `memory_limit` is what one replica may use, bytes, 0: no limit. Without a `public` URL, that of
    each request's host is written into answers.
    """
    app = FastAPI(
        title="Tidegate",
        version=tidegate.__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": public.prefix}] if public.prefix else None,
        dependencies=[Depends(check_route)],
    )
    handle_errors(app)
    app.add_middleware(ApiMiddleware)
    app.add_middleware(PrincipalMiddleware, sessions=sessions)
    app.state.public = public
    app.include_router(_serving_endpoints(endpoints, metrics))
    app.include_router(_tidegate(endpoints, metrics))
    app.include_router(activity(endpoints, series))
    app.include_router(serverless(enablements, memory_limit))
    app.include_router(classic(enablements))
    app.include_router(_not_supported())
    return app


def _serving_endpoints(endpoints: Endpoints, metrics: Metrics) -> APIRouter:
    router = APIRouter(prefix=_ENDPOINTS, tags=["serving-endpoints"])

    @router.post("")
    async def create(body: EndpointIn, request: Request) -> JSONResponse:
        view = await endpoints.create(body.request(principal_of(request).name, endpoints.default_gate))
        return JSONResponse(endpoint_json(view, _base_url(request)))

    @router.get("")
    async def list_all() -> JSONResponse:
        return await asyncio.to_thread(_list, await endpoints.list())

    @router.get("/{name}")
    async def get(name: str, request: Request) -> JSONResponse:
        return JSONResponse(endpoint_json(await endpoints.get(name), _base_url(request)))

    @router.put("/{name}/config")
    async def update_config(name: str, body: ConfigIn, request: Request) -> JSONResponse:
        view = await endpoints.update_config(name, body.request(), principal_of(request).name)
        return JSONResponse(endpoint_json(view, _base_url(request)))

    @router.delete("/{name}")
    async def delete(name: str) -> JSONResponse:
        await endpoints.delete(name)
        return JSONResponse({})

    @router.patch("/{name}/tags")
    async def patch_tags(name: str, body: TagsPatchIn) -> JSONResponse:
        add = {tag.key: tag.value or "" for tag in body.add_tags or ()}
        return JSONResponse(tags_json(await endpoints.patch_tags(name, add, body.delete_tags or ())))

    @router.get("/{name}/served-models/{served}/logs")
    async def logs(name: str, served: str, request: Request) -> JSONResponse:
        return JSONResponse({"logs": await endpoints.logs(name, served, await _config_version(request))})

    @router.get("/{name}/served-models/{served}/build-logs")
    async def build_logs(name: str, served: str, request: Request) -> JSONResponse:
        return JSONResponse({"logs": await endpoints.build_logs(name, served, await _config_version(request))})

    @router.get("/{name}/openapi")
    async def openapi(name: str, request: Request) -> JSONResponse:
        public: PublicUrl = request.app.state.public
        return JSONResponse({**await endpoints.openapi(name), "servers": [{"url": public.prefix or "/"}]})

    @router.get("/{name}/metrics")
    async def export_metrics(name: str) -> Response:
        return Response(await metrics.endpoint(name), media_type=TEXT)

    return router


def _list(views: tuple[EndpointView, ...]) -> JSONResponse:
    """The list of all endpoints. There may be thousands: a thread writes it."""
    return JSONResponse({"endpoints": [list_item_json(view) for view in views]})


def _tidegate(endpoints: Endpoints, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["tidegate"])

    @router.get("/api/tidegate/v1/endpoints/{name}/events")
    async def events(name: str) -> JSONResponse:
        return JSONResponse({"events": [event_json(event) for event in await endpoints.events(name)]})

    @router.get("/api/tidegate/v1/endpoints/{name}/replicas")
    async def replicas(name: str) -> JSONResponse:
        return JSONResponse({"replicas": [replica_json(view) for view in await endpoints.replicas(name)]})

    @router.post("/api/tidegate/v1/endpoints/{name}/rollback")
    async def rollback(name: str, request: Request) -> JSONResponse:
        return JSONResponse(endpoint_json(await endpoints.rollback(name), _base_url(request)))

    @router.get("/api/tidegate/v1/endpoints/{name}/gate")
    async def gate(name: str) -> JSONResponse:
        return JSONResponse(gate_json(await endpoints.gate(name)))

    @router.patch("/api/tidegate/v1/endpoints/{name}/gate")
    async def set_gate(name: str, body: GateIn) -> JSONResponse:
        policy = body.onto((await endpoints.gate(name)).policy)
        return JSONResponse(gate_json(await endpoints.set_gate(name, policy)))

    @router.post("/api/tidegate/v1/endpoints/{name}/force")
    async def force(name: str, request: Request) -> JSONResponse:
        return JSONResponse(endpoint_json(await endpoints.force(name, principal_of(request).name), _base_url(request)))

    @router.get("/api/tidegate/v1/endpoints/{name}/switches")
    async def switches(name: str) -> JSONResponse:
        return JSONResponse(switches_json(await endpoints.switches(name)))

    @router.get("/metrics")
    async def platform_metrics(request: Request) -> Response:
        body, media_type = await metrics.platform(request.headers.get("accept", ""))
        return Response(body, media_type=media_type)

    return router


def _not_supported() -> APIRouter:
    """Calls that clients know and Tidegate does not support. The answer is an error that says so."""
    router = APIRouter(include_in_schema=False)

    def refuse(what: str) -> Callable[[], Awaitable[None]]:
        async def refusal() -> None:
            raise InvalidParameter(f"{what} not supported yet.")

        return refusal

    for methods, path, what in (
        (["PUT"], f"{_ENDPOINTS}/{{name}}/rate-limits", "Rate limits are"),
        (["PUT"], f"{_ENDPOINTS}/{{name}}/ai-gateway", "The AI gateway is"),
        (["PATCH"], f"{_ENDPOINTS}/{{name}}/notifications", "Notifications are"),
        (["PATCH"], f"{_ENDPOINTS}/{{name}}/telemetry-config", "Telemetry configurations are"),
        (["POST"], f"{_ENDPOINTS}/pt", "Provisioned throughput is"),
        (["PUT"], f"{_ENDPOINTS}/pt/{{name}}/config", "Provisioned throughput is"),
        (["GET", "PUT", "PATCH"], "/api/2.0/permissions/serving-endpoints/{identity}", "Permissions are"),
        (["GET"], "/api/2.0/permissions/serving-endpoints/{identity}/permissionLevels", "Permissions are"),
        (["POST"], "/api/2.0/external-function", "External functions are"),
    ):
        router.add_api_route(path, refuse(what), methods=methods)
    return router


class _LogsIn(BaseModel):
    config_version: int | None = None


async def _config_version(request: Request) -> int | None:
    """`config_version` of a GET, from the query string or from a JSON body. Clients send either."""
    given: Any = request.query_params.get("config_version")
    body = await request.body()
    try:
        if given is None and body:
            return _LogsIn.model_validate_json(body).config_version
        return _LogsIn(config_version=given).config_version
    except ValidationError:
        raise InvalidParameter("config_version must be a whole number.") from None


def _base_url(request: Request) -> str:
    """The URL of the platform: that of the setting, or else of the host that the caller has named."""
    public: PublicUrl = request.app.state.public
    host = request.headers.get("x-forwarded-host") or request.headers.get("host", "localhost")
    return public.for_host(host).absolute()
