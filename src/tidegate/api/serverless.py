"""Serverless Real-Time Inference's API, as the preview of 2022 had it, over the verbs of enabled models.

Every answer has the names and states of the original, so that its clients work unmodified.
"""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from tidegate.api.parameters import Millis, OfModel, OfReplica, OfVersion, Parameters, read
from tidegate.control.registry.enabled_model_queries import ServingView
from tidegate.control.registry.enabled_models import EnabledModels
from tidegate.core.endpoint.endpoint import WORKLOAD_SIZES
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.endpoint.revision import ReplicaState
from tidegate.core.legacy_products.enablement import Compute
from tidegate.core.legacy_products.enablement_status import ServingState, UpdateStatus, VersionStatus
from tidegate.core.legacy_products.serving_history import Subject, Told
from tidegate.core.scaling.minute import MinutePoint

Json = dict[str, Any]

PREFIX = "/api/2.0/mlflow/endpoints-v2"

_BUCKET_MS = 60_000
_HOUR_MS = 3_600_000
_SECONDS = 60.0  # of a bucket

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
    """What a stage is to use; what is left out stays."""

    workload_size_id: str | None = None
    scale_to_zero_enabled: bool | None = None


class OfCompute(OfModel):
    """A stage's compute."""

    stage: str
    desired_workload_config_spec: WorkloadSpec


class OfMinutes(OfVersion):
    """A version's minutes, by default those of the last hour; times in milliseconds."""

    start_timestamp: Millis | None = None
    end_timestamp: Millis | None = None


def serverless(enablements: EnabledModels, creator: str, memory_limit: int) -> APIRouter:
    """The routes. `memory_limit` is what a replica may use, bytes, of which usage is a percentage; 0: no limit."""
    router = APIRouter(prefix=PREFIX, tags=["serverless-real-time-inference"])

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
        views = await enablements.list(Product.SERVERLESS)
        return JSONResponse({"endpoint_statuses": [_model_json(view) for view in views]})

    @router.get("/list-versions")
    async def list_versions(request: Request) -> JSONResponse:
        view = await enablements.get(_face(await read(request, OfModel)))
        return JSONResponse({"endpoint_statuses": [_version_json(view.enablement.model, v) for v in view.versions]})

    @router.get("/get-version-status")
    async def get_version_status(request: Request) -> JSONResponse:
        asked = await read(request, OfVersion)
        version = await enablements.version(_face(asked), asked.endpoint_version_name)
        return JSONResponse({"endpoint_status": _version_json(asked.registered_model_name, version)})

    @router.get("/list-version-aliases")
    async def list_version_aliases(request: Request) -> JSONResponse:
        return JSONResponse(aliases_json(await enablements.get(_face(await read(request, OfModel)))))

    @router.put("/update-compute-config")
    async def update_compute_config(request: Request) -> JSONResponse:
        asked = await read(request, OfCompute)
        spec = asked.desired_workload_config_spec
        await enablements.update_compute(_face(asked), asked.stage, spec.workload_size_id, spec.scale_to_zero_enabled)
        return JSONResponse({})

    @router.post("/restart-compute-config-update")
    async def restart_compute_config_update(request: Request) -> JSONResponse:
        asked = await read(request, OfVersion)
        await enablements.restart(_face(asked), asked.endpoint_version_name, creator)
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
            for view in await enablements.replicas(_face(asked), asked.endpoint_version_name)
        ]
        return JSONResponse({"version_replicas": replicas})

    @router.post("/get-version-logs")
    async def get_version_logs(request: Request) -> JSONResponse:
        asked = await read(request, OfReplica)
        logs = await enablements.logs(_face(asked), asked.endpoint_version_name, asked.replica_id or "")
        return JSONResponse({"logs": logs})

    @router.post("/get-version-build-logs")
    async def get_version_build_logs(request: Request) -> JSONResponse:
        asked = await read(request, OfVersion)
        return JSONResponse({"logs": await enablements.build_logs(_face(asked), asked.endpoint_version_name)})

    @router.get("/get-version-metrics")
    async def get_version_metrics(request: Request) -> JSONResponse:
        asked = await read(request, OfMinutes)
        points = await enablements.points(
            _face(asked),
            asked.endpoint_version_name,
            _seconds(asked.start_timestamp),
            _seconds(asked.end_timestamp),
        )
        return JSONResponse(
            {"bucket_interval_ms": _BUCKET_MS, "data": [_point_json(point, memory_limit) for point in points]}
        )

    @router.get("/get-event-history")
    async def get_event_history(request: Request) -> JSONResponse:
        history = await enablements.history(_face(await read(request, OfModel)))
        return JSONResponse({"events": [_event_json(event) for event in history]})

    return router


def aliases_json(view: ServingView) -> Json:
    """Which version each stage means."""
    return {"aliases": [{"alias": stage, "endpoint_version_name": version} for stage, version in view.aliases]}


def millis(seconds: float) -> int:
    """A time as it is written."""
    return round(seconds * 1000)


def _face(asked: OfModel) -> Face:
    return Face(Product.SERVERLESS, asked.registered_model_name)


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
    """`user_id` is a number of Databricks' accounts; here there are none."""
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
    """Rates are per second, usage is in percent: of the machine's cores, and of the memory that one may use."""
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


def _event_json(event: Told) -> Json:
    return {
        "timestamp": millis(event.at),
        "type": _EVENT_TYPES[event.subject],
        "endpoint_version_name": event.version,
        "stage": event.stage,
        "message": event.message,
    }
