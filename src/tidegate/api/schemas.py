"""The public JSON of the serving-endpoints API: what is read, leniently, and what is written, exactly.

The field names are those of Databricks' API. Strings are taken for numbers and booleans, unknown fields are ignored;
`served_models`, the older twin of `served_entities`, is read and written beside it.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from tidegate.api.gate_body import GateIn
from tidegate.api.lenient import Lenient
from tidegate.control.endpoints.endpoint_requests import UNRESOLVED, ConfigRequest, EndpointRequest
from tidegate.control.endpoints.endpoint_views import EndpointView, ReplicaView
from tidegate.core.endpoint.endpoint import (
    Batching,
    Endpoint,
    EndpointConfig,
    ModelRef,
    Route,
    ServedEntity,
    default_served_name,
)
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.revision import Proof, revision_id
from tidegate.core.endpoint.status import Deployment, EndpointStatus, EntityStatus
from tidegate.core.errors import InvalidParameter
from tidegate.core.rollout.pointers import is_pointer
from tidegate.ports import Event

Json = dict[str, Any]


# --- what is read


class ServedEntityIn(Lenient):
    """`ServedEntityInput` and its older twin `ServedModelInput`; what is None has its default."""

    name: str | None = None
    entity_name: str | None = None
    entity_version: str | None = Field(None, description="A version number, an alias (`@champion`) or a stage.")
    model_name: str | None = None
    model_version: str | None = None
    workload_size: str | None = None
    workload_type: str | None = None
    scale_to_zero_enabled: bool | None = None
    min_provisioned_concurrency: int | None = None
    max_provisioned_concurrency: int | None = None
    environment_vars: dict[str, str] | None = None
    idle_timeout_seconds: float | None = None
    batching: Batching | None = None
    timeout_seconds: float | None = None
    retry_on_crash: bool | None = None
    trials: bool | None = None
    external_model: Any = None

    def entity(self, where: str) -> ServedEntity:
        """The served entity that is meant. Raises InvalidParameter; `where` names it in the sentence."""
        model = ModelRef(self._required("entity_name", where), self._required("entity_version", where))
        if self.external_model:
            raise InvalidParameter(f"{where}.external_model is not supported yet.")
        if self.workload_type not in (None, "CPU", "CPU_MEDIUM", "CPU_LARGE"):
            raise InvalidParameter(f"{where}.workload_type must be CPU; GPUs are not supported yet.")
        variables = self.environment_vars or {}
        if any("{{secrets/" in value for value in variables.values()):
            raise InvalidParameter(f"{where}.environment_vars refers to a secret; secrets are not supported yet.")
        names = ServedEntity.__dataclass_fields__.keys() - {"name", "environment_vars"}
        given = {name: getattr(self, name) for name in names & self.model_fields_set if getattr(self, name) is not None}
        return ServedEntity(
            name=self.name or default_served_name(model),
            model=model,
            resolved=UNRESOLVED,
            environment_vars=tuple(sorted(variables.items())),
            **given,
        )

    def _required(self, field: str, where: str) -> str:
        value: str | None = getattr(self, field) or getattr(self, field.replace("entity", "model"))
        if not value:
            raise InvalidParameter(f"{where}.{field} is missing.")
        return value


class RouteIn(Lenient):
    """The share of one served entity, in percent."""

    served_entity_name: str | None = None
    served_model_name: str | None = None
    traffic_percentage: int


class TrafficConfigIn(Lenient):
    """The traffic split."""

    routes: list[RouteIn] = Field(default_factory=list)


class ConfigIn(Lenient):
    """`EndpointCoreConfigInput`, and the body of an update."""

    served_entities: list[ServedEntityIn] | None = None
    served_models: list[ServedEntityIn] | None = None
    traffic_config: TrafficConfigIn | None = None
    auto_capture_config: Any = None
    force: bool = Field(default=False, description="Switch to it without a gate; Tidegate's own.")

    def request(self) -> ConfigRequest:
        """The configuration that is meant. Raises InvalidParameter."""
        _refuse_unsupported(self, ("auto_capture_config",))
        field = "served_entities" if self.served_entities else "served_models"
        given = self.served_entities or self.served_models
        entities = tuple(entity.entity(f"{field}[{at}]") for at, entity in enumerate(given)) if given else None
        routes = self.traffic_config.routes if self.traffic_config else []
        return ConfigRequest(entities, tuple(map(_route, routes)) or None, self.force)


class TagIn(Lenient):
    """A tag."""

    key: str
    value: str | None = None


class EndpointIn(Lenient):
    """The body of a creation."""

    name: str
    config: ConfigIn | None = None
    description: str | None = None
    tags: list[TagIn] | None = None
    route_optimized: bool | None = None
    rate_limits: Any = None
    ai_gateway: Any = None
    email_notifications: Any = None
    telemetry_config: Any = None
    gate: GateIn | None = None

    def request(self, creator: str, gate: GatePolicy) -> EndpointRequest:
        """The endpoint that is meant; `gate` is the platform's. Raises InvalidParameter."""
        _refuse_unsupported(self, ("rate_limits", "ai_gateway", "email_notifications", "telemetry_config"))
        if self.config is None:
            raise InvalidParameter("config is missing: name at least one model to serve in config.served_entities.")
        return EndpointRequest(
            name=self.name,
            config=self.config.request(),
            creator=creator,
            description=self.description or "",
            tags=tuple({tag.key: tag.value or "" for tag in self.tags or ()}.items()),
            route_optimized=bool(self.route_optimized),
            gate=self.gate.onto(gate) if self.gate else None,
        )


class TagsPatchIn(Lenient):
    """The body of a change of tags."""

    add_tags: list[TagIn] | None = None
    delete_tags: list[str] | None = None


def _route(route: RouteIn) -> Route:
    name = route.served_entity_name or route.served_model_name
    if not name:
        raise InvalidParameter("A route of traffic_config needs served_entity_name.")
    return Route(name, route.traffic_percentage)


def _refuse_unsupported(body: BaseModel, names: tuple[str, ...]) -> None:
    for name in names:
        if _asks_for_something(getattr(body, name)):
            raise InvalidParameter(f"{name} is not supported yet. Leave it out.")


def _asks_for_something(value: object) -> bool:
    """Whether anything but empty values and switched-off features is in it, however deep."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            left += one.values()
        elif isinstance(one, list):
            left += one
        elif one:
            return True
    return False


# --- what is written


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
    elif failed is not None:  # nothing has ever served: the cause is in the states of these entities
        answer["config"] = _config_json(failed.config, view)
    if pending is not None:
        answer["pending_config"] = {**_config_json(pending.config, view), "start_time": _millis(pending.started_at)}
    if failed is not None:
        gate = json.loads(failed.report) if failed.report else None
        answer["failed_config"] = {**_config_json(failed.config, view), "message": failed.message, "gate": gate}
    return answer


def list_item_json(view: EndpointView) -> Json:
    """An endpoint as it stands in a list: of its entities only what they serve."""
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
    return {"timestamp": _millis(event.at), "type": event.kind, "message": event.message}


def replica_json(view: ReplicaView) -> Json:
    """A process that predicts. `memory_bytes` and `cpu_seconds` are 0 until they are measured."""
    replica = view.replica
    return {
        "id": replica.id,
        "served_entity": view.served_entity,
        "revision": view.revision,
        "state": replica.state.value,
        "pid": replica.pid,
        "started_at": _millis(replica.started_at),
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
        "creation_timestamp": _millis(endpoint.created_at),
        "last_updated_timestamp": _millis(endpoint.updated_at),
        "description": endpoint.description,
        "state": _state_json(view.status),
        **tags_json(endpoint.tags),
    }


def _state_json(status: EndpointStatus) -> Json:
    """Databricks' documentation says `update_state`, its SDK reads `config_update`. Message and replicas are ours."""
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
        "creation_timestamp": _millis(endpoint.created_at),
        "state": {
            "deployment": status.deployment.value,
            "deployment_state_message": status.message,
            **_serving_json(status.proof),
        },
    }


def _pointer_json(endpoint: Endpoint, entity: ServedEntity) -> Json:
    """How it follows an alias or a stage; our addition."""
    if not is_pointer(entity.model):
        return {}
    if entity.model in endpoint.lost:
        return {"pointer": "lost"}
    taken_away = any(model == entity.model and version != entity.resolved for model, version in endpoint.rejected)
    return {"pointer": "rolled_back" if taken_away else "followed"}


def _serving_json(proof: Proof | None) -> Json:
    """How it serves, as its first replica found out; our addition."""
    found = {"path": proof.path, "batching": proof.batching, "start": proof.start} if proof is not None else {}
    return {name: dict(value) for name, value in found.items() if value is not None}


def _brief(entity: ServedEntity) -> Json:
    """What was asked for: an alias or a stage stays one; `resolved_version` tells what it meant."""
    return {"name": entity.name, "entity_name": entity.model.name, "entity_version": entity.model.version}


def _millis(seconds: float) -> int:
    return round(seconds * 1000)
