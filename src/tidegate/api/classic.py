"""Classic MLflow model serving's API over the verbs of enabled models. Every answer is as the original's."""

import json
from typing import Any

from fastapi import APIRouter
from pydantic import field_validator
from starlette.requests import Request
from starlette.responses import JSONResponse

from tidegate.api.edge import TOO_DEEP
from tidegate.api.parameters import Millis, OfModel, OfReplica, Parameters, read
from tidegate.api.serverless import aliases_json, millis
from tidegate.control.registry.enabled_model_queries import ServingView
from tidegate.control.registry.enabled_models import EnabledModels
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.errors import BadRequest
from tidegate.core.legacy_products.enablement_status import ServingState, VersionStatus
from tidegate.core.legacy_products.serving_history import Subject, Told

Json = dict[str, Any]

PREFIX = "/api/2.0/mlflow/endpoints"

_EVENT_TYPES = {
    Subject.MODEL: "ENDPOINT_UPDATED",
    Subject.SERVICE: "MODEL_UPDATE",
    Subject.VERSION: "VERSION_UPDATE",
    Subject.CONTAINER: "VERSION_UPDATE",
}


class TagIn(Parameters):
    """A tag of a cluster."""

    key: str
    value: str = ""


class ClusterSpec(Parameters):
    """A cluster: a kind of machine, and tags."""

    node_type_id: str = ""
    tags: list[TagIn] | None = None


class OfCluster(OfModel):
    """A model's cluster."""

    desired_cluster_config: ClusterSpec

    @field_validator("desired_cluster_config", mode="before")
    @classmethod
    def _parsed(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except RecursionError:
            raise BadRequest(TOO_DEEP) from None


class OfMinutes(OfModel):
    """A model's minutes, by default those of the last hour; times in milliseconds."""

    start_timestamp: Millis | None = None
    end_timestamp: Millis | None = None


def classic(enablements: EnabledModels, creator: str) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=PREFIX, tags=["classic-model-serving"])

    @router.post("/enable")
    async def enable(request: Request) -> JSONResponse:
        await enablements.enable(_face(await read(request, OfModel)), creator)
        return JSONResponse({})

    @router.post("/disable")
    async def disable(request: Request) -> JSONResponse:
        await enablements.disable(_face(await read(request, OfModel)))
        return JSONResponse({})

    @router.get("/get-status")
    async def get_status(request: Request) -> JSONResponse:
        view = await enablements.get(_face(await read(request, OfModel)))
        return JSONResponse({"endpoint_status": _model_json(view)})

    @router.get("/list")
    async def list_all() -> JSONResponse:
        return JSONResponse({"endpoints": [_model_json(view) for view in await enablements.list(Product.CLASSIC)]})

    @router.get("/list-versions")
    async def list_versions(request: Request) -> JSONResponse:
        view = await enablements.get(_face(await read(request, OfModel)))
        return JSONResponse({"endpoint_versions": [_version_json(view.enablement.model, v) for v in view.versions]})

    @router.get("/list-version-aliases")
    async def list_version_aliases(request: Request) -> JSONResponse:
        return JSONResponse(aliases_json(await enablements.get(_face(await read(request, OfModel)))))

    @router.post("/get-version-logs")
    async def get_version_logs(request: Request) -> JSONResponse:
        asked = await read(request, OfReplica)
        logs = await enablements.logs(_face(asked), asked.endpoint_version_name, asked.replica_id or "")
        return JSONResponse({"logs": logs})

    @router.get("/get-event-history")
    async def get_event_history(request: Request) -> JSONResponse:
        history = await enablements.history(_face(await read(request, OfModel)))
        return JSONResponse({"events": [_event_json(event) for event in history]})

    @router.get("/get-metric-history")
    async def get_metric_history(request: Request) -> JSONResponse:
        asked = await read(request, OfMinutes)
        since, until = (None if at is None else at / 1000 for at in (asked.start_timestamp, asked.end_timestamp))
        totals = await enablements.totals(_face(asked), since, until)
        metrics = [
            {"key": key, "value": value, "timestamp": millis(total.at)}
            for total in totals
            for key, value in (("successes", total.successes), ("failures", total.failures))
        ]
        return JSONResponse({"metrics": metrics})

    @router.put("/update-cluster-config")
    async def update_cluster_config(request: Request) -> JSONResponse:
        asked = await read(request, OfCluster)
        spec = asked.desired_cluster_config
        tags = None if spec.tags is None else [(tag.key, tag.value) for tag in spec.tags]
        await enablements.update_cluster(_face(asked), spec.node_type_id, tags)
        return JSONResponse({})

    return router


def _face(asked: OfModel) -> Face:
    return Face(Product.CLASSIC, asked.registered_model_name)


def _model_json(view: ServingView) -> Json:
    state, message = view.state
    tags = [{"key": key, "value": value} for key, value in view.enablement.cluster_tags]
    return {
        "registered_model_name": view.enablement.model,
        "state": f"ENDPOINT_STATE_{state.value}",
        "state_message": message,
        "actual_cluster_config": {"node_type_id": view.enablement.node_type_id, "tags": tags},
        "serving_version": "V1",
    }


def _version_json(model: str, version: VersionStatus) -> Json:
    return {
        "registered_model_name": model,
        "endpoint_version_name": version.version,
        "state": _state(version.state),
        "state_message": version.message,
    }


def _state(state: ServingState) -> str:
    known = (
        state if state in (ServingState.LAUNCHING, ServingState.READY, ServingState.FAILED) else ServingState.PENDING
    )
    return f"VERSION_STATE_{known.value}"


def _event_json(event: Told) -> Json:
    """`internal` events are those of replicas."""
    return {
        "timestamp": millis(event.at),
        "event_type": _EVENT_TYPES[event.subject],
        "endpoint_version_name": event.version,
        "message": event.message,
        "internal": event.subject is Subject.CONTAINER,
    }
