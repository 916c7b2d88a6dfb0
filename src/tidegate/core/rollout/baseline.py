"""Whose place a served entity is to take: the one that it is compared with."""

from collections.abc import Sequence

from tidegate.core.endpoint.endpoint import EndpointConfig, ServedEntity


def baseline_of(entity: ServedEntity, pending: EndpointConfig, active: EndpointConfig) -> ServedEntity | None:
    """The served entity of the same name, else of the same model, else the only one there is.

    Of several of the same model it is the one that goes, else the one with most of the traffic.
    """
    serving = active.served_entities
    for found in serving:
        if found.name == entity.name:
            return found
    if alike := [one for one in serving if one.model.name == entity.model.name]:
        staying = {one.name for one in pending.served_entities}
        return _busiest([one for one in alike if one.name not in staying] or alike, active)
    return serving[0] if len(serving) == 1 else None


def _busiest(entities: Sequence[ServedEntity], config: EndpointConfig) -> ServedEntity:
    shares = {route.served_entity: route.traffic_percentage for route in config.routes}
    return max(entities, key=lambda entity: shares.get(entity.name, 0))
