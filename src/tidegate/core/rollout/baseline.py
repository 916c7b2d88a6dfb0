"""The baseline of a pending served entity: the active one whose place it takes, and with which it is compared."""

from collections.abc import Sequence

from tidegate.core.endpoint.endpoint import EndpointConfig
from tidegate.core.endpoint.served_entity import ServedEntity


def baseline_of(entity: ServedEntity, pending: EndpointConfig, active: EndpointConfig) -> ServedEntity | None:
    """The active entity of the same name, else of the same model, else the only one; None where there is none of these.

    Of several with the same model, those that the pending configuration leaves out come first, and of those the one
    with the largest share of the traffic.
    """
    serving = active.served_entities
    for found in serving:
        if found.name == entity.name:
            return found
    if alike := [other for other in serving if other.model.name == entity.model.name]:
        staying = {other.name for other in pending.served_entities}
        return _busiest([other for other in alike if other.name not in staying] or alike, active)
    return serving[0] if len(serving) == 1 else None


def _busiest(entities: Sequence[ServedEntity], config: EndpointConfig) -> ServedEntity:
    shares = {route.served_entity: route.traffic_percentage for route in config.routes}
    return max(entities, key=lambda entity: shares.get(entity.name, 0))
