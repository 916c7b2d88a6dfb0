"""The routes that both older products have, over the verbs of enabled models.

Classic MLflow model serving and Serverless Real-Time Inference differ in their paths and in how an answer is written.
`Wording` is that difference; `classic.py` and `serverless.py` add what only one of them has.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from tidegate.api.json_values import Json
from tidegate.api.parameters import OfModel, OfReplica, read
from tidegate.control.access.principal_middleware import principal_of
from tidegate.control.registry.enabled_model_queries import ServingView
from tidegate.control.registry.enabled_models import EnabledModels
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.legacy_products.enablement_status import VersionStatus
from tidegate.core.legacy_products.serving_history import HistoryEvent


@dataclass(frozen=True, slots=True)
class Wording:
    """How a product writes its answers. `models` and `versions` are the keys of its two lists."""

    product: Product
    models: str
    versions: str
    model_json: Callable[[ServingView], Json]
    version_json: Callable[[str, VersionStatus], Json]
    event_json: Callable[[HistoryEvent], Json]

    def face(self, asked: OfModel) -> Face:
        """The product and the model that a call is about."""
        return Face(self.product, asked.registered_model_name)


def add_shared_routes(router: APIRouter, enabled: EnabledModels, wording: Wording) -> None:
    """Add the routes."""

    @router.post("/enable")
    async def enable(request: Request) -> JSONResponse:
        await enabled.enable(wording.face(await read(request, OfModel)), principal_of(request).name)
        return JSONResponse({})

    @router.post("/disable")
    async def disable(request: Request) -> JSONResponse:
        await enabled.disable(wording.face(await read(request, OfModel)))
        return JSONResponse({})

    @router.get("/get-status")
    async def get_status(request: Request) -> JSONResponse:
        view = await enabled.get(wording.face(await read(request, OfModel)))
        return JSONResponse({"endpoint_status": wording.model_json(view)})

    @router.get("/list")
    async def list_all() -> JSONResponse:
        views = await enabled.list(wording.product)
        return JSONResponse({wording.models: [wording.model_json(view) for view in views]})

    @router.get("/list-versions")
    async def list_versions(request: Request) -> JSONResponse:
        view = await enabled.get(wording.face(await read(request, OfModel)))
        versions = [wording.version_json(view.enablement.model, version) for version in view.versions]
        return JSONResponse({wording.versions: versions})

    @router.get("/list-version-aliases")
    async def list_version_aliases(request: Request) -> JSONResponse:
        view = await enabled.get(wording.face(await read(request, OfModel)))
        aliases = [{"alias": stage, "endpoint_version_name": version} for stage, version in view.aliases]
        return JSONResponse({"aliases": aliases})

    @router.post("/get-version-logs")
    async def get_version_logs(request: Request) -> JSONResponse:
        asked = await read(request, OfReplica)
        logs = await enabled.logs(wording.face(asked), asked.endpoint_version_name, asked.replica_id or "")
        return JSONResponse({"logs": logs})

    @router.get("/get-event-history")
    async def get_event_history(request: Request) -> JSONResponse:
        history = await enabled.history(wording.face(await read(request, OfModel)))
        return JSONResponse({"events": [wording.event_json(event) for event in history]})
