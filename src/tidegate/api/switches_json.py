"""The JSON of an endpoint's switches and of its parked configuration. Only Tidegate has it."""

import json

from tidegate.api.json_values import Json, millis
from tidegate.control.endpoints.endpoint_views import SwitchesView
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.rollout.switch import Side, Switch, side_of


def switches_json(view: SwitchesView) -> Json:
    """The switches, oldest first. `parked` is the configuration that a rollback would bring back, or null."""
    parked: Json | None = None
    if view.parked is not None:
        parked = {
            **_side_json(side_of(view.parked.config)),
            "since": millis(view.parked.since),
            "replicas_until": None if view.kept_until is None else millis(view.kept_until),
            "replaced_by": view.parked.replaced_by,
        }
    return {"switches": [_switch_json(switch) for switch in view.switches], "parked": parked}


def _switch_json(switch: Switch) -> Json:
    return {
        "timestamp": millis(switch.at),
        "by": switch.by,
        "from": None if switch.before is None else _side_json(switch.before),
        "to": _side_json(switch.after),
        "gate": json.loads(switch.report) if switch.report else None,
    }


def _side_json(side: Side) -> Json:
    entities = [_entity_json(name, version, side.shares.get(name)) for name, version in side.versions.items()]
    return {"config_version": side.config, "served_entities": entities}


def _entity_json(name: str, model: ModelVersion, share: int | None) -> Json:
    """A served entity. `share` is None in a record from before shares were recorded."""
    entity = {"name": name, "entity_name": model.name, "resolved_version": model.version}
    return {**entity, "traffic_percentage": share}
