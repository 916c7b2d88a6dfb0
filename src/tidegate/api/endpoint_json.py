"""The answers of the serving-endpoints API, written exactly as Databricks' clients read them.

`served_models`, the older twin of `served_entities`, is written beside it.
"""

import json

from tidegate.api.json_values import Json, millis
from tidegate.control.endpoints.endpoint_views import EndpointView, ReplicaView
from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig
from tidegate.core.endpoint.revision import Proof, revision_id
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.endpoint.status import Deployment, EndpointStatus, EntityStatus
from tidegate.core.rollout.pointers import is_pointer
from tidegate.ports import Event


def endpoint_json(view: EndpointView, base_url: str) -> Json:
    """`ServingEndpointDetailed`."""
    endpoint = view.endpoint
    pending, failed, active = endpoint.pending, endpoint.failed, endpoint.active
    answer = {
        **_head(view),
        "route_optimized": endpoint.route_optimized,
        "endpoint_url": f"{base_url}/serving-endpoints/{endpoint.name}/invocations",
        "permission_level": "CAN_MANAGE",
    }
    if active is not None:
        answer["config"] = _config_json(active, view)
    elif failed is not None:  # nothing has ever served: the states of these entities have the cause
        answer["config"] = _config_json(failed.config, view)
    if pending is not None:
        answer["pending_config"] = {**_config_json(pending.config, view), "start_time": millis(pending.started_at)}
    if failed is not None:
        gate = json.loads(failed.report) if failed.report else None
        answer["failed_config"] = {**_config_json(failed.config, view), "message": failed.message, "gate": gate}
    return answer


def list_item_json(view: EndpointView) -> Json:
    """An endpoint in a list: of each entity, only its name and its model."""
    endpoint = view.endpoint
    config = endpoint.active or endpoint.latest_config
    return {
        **_head(view),
        "config": {"served_entities": [_brief(entity) for entity in config.served_entities]} if config else {},
    }


def tags_json(tags: tuple[tuple[str, str], ...]) -> Json:
    """`EndpointTags`."""
    return {"tags": [{"key": key, "value": value} for key, value in tags]}


def event_json(event: Event) -> Json:
    """Something that happened to an endpoint."""
    return {"timestamp": millis(event.at), "type": event.kind, "message": event.message}


def replica_json(view: ReplicaView) -> Json:
    """A process that predicts. `memory_bytes` and `cpu_seconds` are 0 until they are measured."""
    replica = view.replica
    return {
        "id": replica.id,
        "served_entity": view.served_entity,
        "revision": view.revision,
        "state": replica.state.value,
        "pid": replica.pid,
        "started_at": millis(replica.started_at),
        "forked": replica.forked,
        "memory_bytes": replica.memory_bytes,
        "cpu_seconds": replica.cpu_seconds,
    }


def _head(view: EndpointView) -> Json:
    endpoint = view.endpoint
    return {
        "name": endpoint.name,
        "id": endpoint.id,
        "creator": endpoint.creator,
        "creation_timestamp": millis(endpoint.created_at),
        "last_updated_timestamp": millis(endpoint.updated_at),
        "description": endpoint.description,
        "state": _state_json(view.status),
        **tags_json(endpoint.tags),
    }


def _state_json(status: EndpointStatus) -> Json:
    """The state. Databricks' documentation has `update_state`, its SDK reads `config_update`; both are written."""
    return {
        "ready": status.ready.value,
        "config_update": status.config_update.value,
        "update_state": status.config_update.value,
        "message": status.message,
        "replicas": status.replicas,
    }


def _config_json(config: EndpointConfig, view: EndpointView) -> Json:
    entities = [_entity_json(entity, view) for entity in config.served_entities]
    twins = {"entity_name": "model_name", "entity_version": "model_version"}
    return {
        "config_version": config.version,
        "served_entities": entities,
        "served_models": [{twins.get(key, key): value for key, value in entity.items()} for entity in entities],
        "traffic_config": {
            "routes": [
                {
                    "served_entity_name": route.served_entity,
                    "served_model_name": route.served_entity,
                    "traffic_percentage": route.traffic_percentage,
                }
                for route in config.routes
            ]
        },
    }


def _entity_json(entity: ServedEntity, view: EndpointView) -> Json:
    endpoint = view.endpoint
    status = view.status.entities.get(revision_id(endpoint.id, entity), EntityStatus(Deployment.CREATING))
    bounds = {
        "min_provisioned_concurrency": entity.min_provisioned_concurrency,
        "max_provisioned_concurrency": entity.max_provisioned_concurrency,
    }
    return {
        **_brief(entity),
        "resolved_version": entity.resolved.version,
        **_pointer_json(endpoint, entity),
        "workload_size": entity.workload_size,
        "workload_type": entity.workload_type,
        "scale_to_zero_enabled": entity.scale_to_zero_enabled,
        **{name: value for name, value in bounds.items() if value is not None},
        "environment_vars": dict(entity.environment_vars),
        "idle_timeout_seconds": entity.idle_timeout_seconds,
        "batching": entity.batching.value,
        "timeout_seconds": entity.timeout_seconds,
        "retry_on_crash": entity.retry_on_crash,
        "trials": entity.trials,
        "creator": endpoint.creator,
        "creation_timestamp": millis(endpoint.created_at),
        "state": {
            "deployment": status.deployment.value,
            "deployment_state_message": status.message,
            **_serving_json(status.proof),
        },
    }


def _pointer_json(endpoint: Endpoint, entity: ServedEntity) -> Json:
    """How the served entity follows an alias or a stage. Only Tidegate has it."""
    if not is_pointer(entity.model):
        return {}
    if entity.model in endpoint.lost:
        return {"pointer": "lost"}
    taken_away = any(model == entity.model and version != entity.resolved for model, version in endpoint.rejected)
    return {"pointer": "rolled_back" if taken_away else "followed"}


def _serving_json(proof: Proof | None) -> Json:
    """How the served entity predicts, as its first replica has found out. Only Tidegate has it."""
    found = {"path": proof.path, "batching": proof.batching, "start": proof.start} if proof is not None else {}
    return {name: dict(value) for name, value in found.items() if value is not None}


def _brief(entity: ServedEntity) -> Json:
    """A served entity as asked for: an alias or a stage stays one. `resolved_version` is the version that it meant."""
    return {"name": entity.name, "entity_name": entity.model.name, "entity_version": entity.model.version}
