"""The API of classic MLflow model serving, over the verbs of enabled models. Its answers are those of the original."""

import json
from typing import Annotated

from fastapi import APIRouter
from pydantic import field_validator
from starlette.requests import Request
from starlette.responses import JSONResponse

from tidegate.api.body_model import at_most
from tidegate.api.json_values import Json, millis
from tidegate.api.middleware import TOO_DEEP
from tidegate.api.older_products import Wording, add_shared_routes
from tidegate.api.parameters import Millis, OfModel, Parameters, read
from tidegate.control.endpoints.endpoint_requests import MAX_TAGS
from tidegate.control.registry.enabled_model_queries import ServingView
from tidegate.control.registry.enabled_models import EnabledModels
from tidegate.core.endpoint.legacy_face import Product
from tidegate.core.errors import BadRequest
from tidegate.core.legacy_products.enablement_status import ServingState, VersionStatus
from tidegate.core.legacy_products.serving_history import HistoryEvent, Subject

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
    """A cluster: its kind of machine, and its tags."""

    node_type_id: str = ""
    tags: Annotated[list[TagIn] | None, at_most(MAX_TAGS)] = None


class OfCluster(OfModel):
    """The parameters of a call about a model's cluster."""

    desired_cluster_config: ClusterSpec

    @field_validator("desired_cluster_config", mode="before")
    @classmethod
    def _parsed(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except RecursionError:
            raise BadRequest(TOO_DEEP) from None


class OfMinutes(OfModel):
    """The parameters of a call about a model's minutes; times in unix milliseconds, by default the last hour."""

    start_timestamp: Millis | None = None
    end_timestamp: Millis | None = None


def classic(enabled: EnabledModels) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=PREFIX, tags=["classic-model-serving"])
    add_shared_routes(router, enabled, _WORDING)

    @router.get("/get-metric-history")
    async def get_metric_history(request: Request) -> JSONResponse:
        asked = await read(request, OfMinutes)
        since, until = (None if at is None else at / 1000 for at in (asked.start_timestamp, asked.end_timestamp))
        totals = await enabled.totals(_WORDING.face(asked), since, until)
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
        await enabled.update_cluster(_WORDING.face(asked), spec.node_type_id, tags)
        return JSONResponse({})

    return router


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


def _event_json(event: HistoryEvent) -> Json:
    """An event. `internal` marks the events of replicas."""
    return {
        "timestamp": millis(event.at),
        "event_type": _EVENT_TYPES[event.subject],
        "endpoint_version_name": event.version,
        "message": event.message,
        "internal": event.subject is Subject.CONTAINER,
    }


_WORDING = Wording(Product.CLASSIC, "endpoints", "endpoint_versions", _model_json, _version_json, _event_json)
