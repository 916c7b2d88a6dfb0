"""A switch: the moment at which one configuration of an endpoint took another's place, as it is on record."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.core.endpoint import ROLLBACK, Endpoint, EndpointConfig, ModelVersion


@dataclass(frozen=True, slots=True)
class Side:
    """A configuration in short: its number, and the exact model version behind each served name."""

    config: int
    versions: Mapping[str, ModelVersion]

    def __str__(self) -> str:
        """As a person reads it: `Configuration 3 (wine/4)`."""
        models = dict.fromkeys(f"{model.name}/{model.version}" for model in self.versions.values())
        return f"Configuration {self.config} ({', '.join(models)})"


@dataclass(frozen=True, slots=True)
class Switch:
    """What served before (None: nothing), and what serves since.

    `by` is who asked for it, see PendingConfig. `report` is what the gate found, as JSON; empty where none looked.
    """

    endpoint_id: str
    at: float  # unix seconds
    by: str
    before: Side | None
    after: Side
    report: str = ""

    @property
    def kind(self) -> str:
        """The kind of the event that tells of it."""
        return "rolled_back" if self.by == ROLLBACK else "promoted"

    @property
    def sentence(self) -> str:
        """What the event says."""
        if self.by == ROLLBACK and self.before is not None:
            return f"{self.after} serves again, in place of {self.before}."
        return f"{self.after} serves."


def switch_of(endpoint: Endpoint) -> Switch:
    """The switch that an endpoint is in the middle of."""
    switching, active = endpoint.switching, endpoint.active
    assert switching is not None
    by, after = switching.to.by or endpoint.creator, _side(switching.to.config)
    return Switch(endpoint.id, switching.at, by, _side(active) if active else None, after, switching.report)


def _side(config: EndpointConfig) -> Side:
    return Side(config.version, {entity.name: entity.resolved for entity in config.served_entities})
