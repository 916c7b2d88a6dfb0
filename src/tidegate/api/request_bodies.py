"""The bodies of the serving-endpoints API's requests, read leniently.

Field names are those of Databricks' API. Strings are taken for numbers and booleans, and unknown fields are ignored.
`served_models` is read as the older twin of `served_entities`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field

from tidegate.api.body_model import BodyModel, at_most
from tidegate.api.gate_body import GateIn
from tidegate.control.endpoints.endpoint_requests import MAX_TAGS, UNRESOLVED, ConfigRequest, EndpointRequest
from tidegate.core.endpoint.endpoint import MAX_SERVED_ENTITIES, Route
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.served_entity import (
    MAX_ENVIRONMENT_VARS,
    Batching,
    ModelRef,
    ServedEntity,
    default_served_name,
)
from tidegate.core.errors import InvalidParameter

_MAX_DESCRIPTION = 4096  # characters


# The longest name of a model or a version, characters; MLflow's own limit is 250 or 256.
MAX_NAME = 300


class ServedEntityIn(BodyModel):
    """`ServedEntityInput` and its older twin `ServedModelInput`; what is None has its default."""

    name: str | None = None
    entity_name: str | None = Field(None, max_length=MAX_NAME)
    entity_version: str | None = Field(
        None, max_length=MAX_NAME, description="A version number, an alias (`@champion`) or a stage."
    )
    model_name: str | None = Field(None, max_length=MAX_NAME)
    model_version: str | None = Field(None, max_length=MAX_NAME)
    workload_size: str | None = None
    workload_type: str | None = None
    scale_to_zero_enabled: bool | None = None
    min_provisioned_concurrency: int | None = None
    max_provisioned_concurrency: int | None = None
    environment_vars: Annotated[dict[str, str] | None, at_most(MAX_ENVIRONMENT_VARS)] = None
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


class RouteIn(BodyModel):
    """The share of one served entity, in percent."""

    served_entity_name: str | None = None
    served_model_name: str | None = None
    traffic_percentage: int


class TrafficConfigIn(BodyModel):
    """The traffic split."""

    routes: Annotated[list[RouteIn], at_most(MAX_SERVED_ENTITIES)] = Field(default_factory=list)


class ConfigIn(BodyModel):
    """`EndpointCoreConfigInput`, and the body of an update."""

    served_entities: Annotated[list[ServedEntityIn] | None, at_most(MAX_SERVED_ENTITIES)] = None
    served_models: Annotated[list[ServedEntityIn] | None, at_most(MAX_SERVED_ENTITIES)] = None
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


class TagIn(BodyModel):
    """A tag."""

    key: str
    value: str | None = None


class EndpointIn(BodyModel):
    """The body of a creation."""

    name: str
    config: ConfigIn | None = None
    description: Annotated[str | None, at_most(_MAX_DESCRIPTION)] = None
    tags: Annotated[list[TagIn] | None, at_most(MAX_TAGS)] = None
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


class TagsPatchIn(BodyModel):
    """The body of a change of tags."""

    add_tags: Annotated[list[TagIn] | None, at_most(MAX_TAGS)] = None
    delete_tags: Annotated[list[str] | None, at_most(MAX_TAGS)] = None


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
