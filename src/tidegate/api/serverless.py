"""The API of Serverless Real-Time Inference, as in the preview of 2022, over the verbs of enabled models.

Every answer has the names and states of the original, so that its clients work unmodified.
"""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from tidegate.api.json_values import Json, millis
from tidegate.api.older_products import Wording, add_shared_routes
from tidegate.api.parameters import Millis, OfModel, OfVersion, Parameters, read
from tidegate.control.access.principal_middleware import principal_of
from tidegate.control.registry.enabled_model_queries import ServingView
from tidegate.control.registry.enabled_models import EnabledModels
from tidegate.core.endpoint.legacy_face import Product
from tidegate.core.endpoint.revision import ReplicaState
from tidegate.core.endpoint.served_entity import WORKLOAD_SIZES
from tidegate.core.legacy_products.enablement import Compute
from tidegate.core.legacy_products.enablement_status import ServingState, UpdateStatus, VersionStatus
from tidegate.core.legacy_products.serving_history import HistoryEvent, Subject
from tidegate.core.scaling.minute import MinutePoint

PREFIX = "/api/2.0/mlflow/endpoints-v2"

_BUCKET_MS = 60_000
_HOUR_MS = 3_600_000
_SECONDS = 60.0  # of a minute

_REPLICA_STATES = {
    ReplicaState.STARTING: "CONTAINERCREATING",
    ReplicaState.READY: "RUNNING",
    ReplicaState.DRAINING: "TERMINATING",
}
_EVENT_TYPES = {
    Subject.MODEL: "MODEL_SERVING_EVENT",
    Subject.SERVICE: "MODEL_SERVICE_EVENT",
    Subject.VERSION: "MODEL_VERSION_SERVING_EVENT",
    Subject.CONTAINER: "CONTAINER_EVENT",
}


class WorkloadSpec(Parameters):
    """The compute of a stage. A value that is left out stays."""

    workload_size_id: str | None = None
    scale_to_zero_enabled: bool | None = None


class OfCompute(OfModel):
    """The parameters of a call about the compute of a stage."""

    stage: str
    desired_workload_config_spec: WorkloadSpec


class OfMinutes(OfVersion):
    """The parameters of a call about a version's minutes; times in unix milliseconds, by default the last hour."""

    start_timestamp: Millis | None = None
    end_timestamp: Millis | None = None


def serverless(enabled: EnabledModels, memory_limit: int) -> APIRouter:
    """The routes. `memory_limit` is a replica's, in bytes; 0 is none."""
    router = APIRouter(prefix=PREFIX, tags=["serverless-real-time-inference"])
    add_shared_routes(router, enabled, _WORDING)

    @router.get("/get-version-status")
    async def get_version_status(request: Request) -> JSONResponse:
        asked = await read(request, OfVersion)
        version = await enabled.version(_WORDING.face(asked), asked.endpoint_version_name)
        return JSONResponse({"endpoint_status": _version_json(asked.registered_model_name, version)})

    @router.put("/update-compute-config")
    async def update_compute_config(request: Request) -> JSONResponse:
        asked = await read(request, OfCompute)
        spec = asked.desired_workload_config_spec
        await enabled.update_compute(
            _WORDING.face(asked), asked.stage, spec.workload_size_id, spec.scale_to_zero_enabled
        )
        return JSONResponse({})

    @router.post("/restart-compute-config-update")
    async def restart_compute_config_update(request: Request) -> JSONResponse:
        asked = await read(request, OfVersion)
        await enabled.restart(_WORDING.face(asked), asked.endpoint_version_name, principal_of(request).name)
        return JSONResponse({})

    @router.get("/get-supported-workload-sizes")
    async def get_supported_workload_sizes() -> JSONResponse:
        sizes = [
            {"key": key, "min_concurrency": low, "max_concurrency": high} for key, (low, high) in WORKLOAD_SIZES.items()
        ]
        return JSONResponse({"workload_sizes": sizes})

    @router.get("/get-version-replicas")
    async def get_version_replicas(request: Request) -> JSONResponse:
        asked = await read(request, OfVersion)
        replicas = [
            {
                "replica_name": f"{view.served_entity}-{view.replica.id}",
                "replica_id": view.replica.id,
                "last_known_status": _REPLICA_STATES[view.replica.state],
            }
            for view in await enabled.replicas(_WORDING.face(asked), asked.endpoint_version_name)
        ]
        return JSONResponse({"version_replicas": replicas})

    @router.post("/get-version-build-logs")
    async def get_version_build_logs(request: Request) -> JSONResponse:
        asked = await read(request, OfVersion)
        return JSONResponse({"logs": await enabled.build_logs(_WORDING.face(asked), asked.endpoint_version_name)})

    @router.get("/get-version-metrics")
    async def get_version_metrics(request: Request) -> JSONResponse:
        asked = await read(request, OfMinutes)
        points = await enabled.points(
            _WORDING.face(asked),
            asked.endpoint_version_name,
            _seconds(asked.start_timestamp),
            _seconds(asked.end_timestamp),
        )
        return JSONResponse(
            {"bucket_interval_ms": _BUCKET_MS, "data": [_point_json(point, memory_limit) for point in points]}
        )

    return router


def _seconds(millis: int | None) -> float | None:
    return None if millis is None else millis / 1000


def _model_json(view: ServingView) -> Json:
    state, message = view.state
    answer: Json = {
        "registered_model_name": view.enablement.model,
        "state": f"ENDPOINT_STATE_{state.value}",
        "state_message": message,
    }
    if view.computes:
        answer["compute_config"] = [_compute_json(compute) for compute in view.computes]
    return answer


def _compute_json(compute: Compute) -> Json:
    """The compute of a version. `user_id` is a number of Databricks' accounts, which Tidegate does not have."""
    return {
        **({"stage": compute.stage} if compute.stage else {}),
        "version": compute.version,
        "creation_timestamp": millis(compute.asked_at),
        "user_id": 0,
        "workload_spec": {
            "workload_size_id": compute.workload_size_id,
            "scale_to_zero_enabled": compute.scale_to_zero_enabled,
        },
    }


def _version_json(model: str, version: VersionStatus) -> Json:
    return {
        "registered_model_name": model,
        "endpoint_version_name": version.version,
        "service_status": {
            "state": _service_state(version.state),
            "message": version.message,
            "config": _compute_json(version.compute),
        },
        "config_update_status": None if version.update is None else _update_json(version.update),
    }


def _update_json(update: UpdateStatus) -> Json:
    return {
        "state": _service_state(update.state),
        "message": update.message,
        "config": _compute_json(update.compute),
    }


def _service_state(state: ServingState) -> str:
    known = ServingState.PENDING if state is ServingState.LAUNCHING else state
    return f"SERVICE_STATE_{known.value}"


def _point_json(point: MinutePoint, memory_limit: int) -> Json:
    """A minute. Rates are per second; usage is in percent of the machine's cores, and of a replica's memory limit."""
    latencies = ("min", "p50", "p75", "p90", "p95", "p99", "max")
    return {
        "timestamp": millis(point.at),
        **{f"{name}Latency": getattr(point, f"{name}_ms") for name in latencies},
        "requestRate": point.requests / _SECONDS,
        "errorRate4XX": point.errors_4xx / _SECONDS,
        "errorRate5XX": point.errors_5xx / _SECONDS,
        "avgCpuUsage": 100 * point.cpu,
        "avgMemUsage": 100 * point.memory_bytes / memory_limit if memory_limit else None,
        "numConcurrency": point.concurrency,
    }


def _event_json(event: HistoryEvent) -> Json:
    return {
        "timestamp": millis(event.at),
        "type": _EVENT_TYPES[event.subject],
        "endpoint_version_name": event.version,
        "stage": event.stage,
        "message": event.message,
    }


_WORDING = Wording(
    Product.SERVERLESS, "endpoint_statuses", "endpoint_statuses", _model_json, _version_json, _event_json
)
