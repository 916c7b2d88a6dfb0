"""Makes a configuration of a request: checks it, and resolves every model to an exact version."""

from dataclasses import replace

from tidegate.control.endpoints.endpoint_requests import UNRESOLVED, ConfigRequest
from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig, default_routes
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion, ServedEntity
from tidegate.core.endpoint.validation import check_config
from tidegate.core.errors import InvalidParameter
from tidegate.ports import ModelRegistry


async def resolve_config(request: ConfigRequest, current: Endpoint | None, registry: ModelRegistry) -> EndpointConfig:
    """The configuration that is asked for; `current` is the endpoint that it is for, if there is one.

    Raises InvalidParameter, and what `ModelRegistry.resolve` raises.
    """
    entities = _entities(request, current)
    routes = default_routes(entities) if request.routes is None else request.routes
    config = EndpointConfig(current.next_version if current else 1, entities, routes)
    check_config(config)
    resolved: dict[ModelRef, ModelVersion] = {}
    for entity in entities:
        if entity.resolved == UNRESOLVED and entity.model not in resolved:
            resolved[entity.model] = await registry.resolve(entity.model)
    exact = tuple(
        replace(entity, resolved=resolved[entity.model]) if entity.resolved == UNRESOLVED else entity
        for entity in entities
    )
    return replace(config, served_entities=exact)


def _entities(request: ConfigRequest, current: Endpoint | None) -> tuple[ServedEntity, ...]:
    if request.served_entities is not None:
        return request.served_entities
    serving = (current.active or current.latest_config) if current else None
    if serving is None or request.routes is None:
        raise InvalidParameter("served_entities is missing: name at least one model to serve.")
    return serving.served_entities
