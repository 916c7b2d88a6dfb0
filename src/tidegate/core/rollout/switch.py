"""A switch of an endpoint from one configuration to another, as the store has it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.core.endpoint.endpoint import ROLLBACK, Endpoint, EndpointConfig
from tidegate.core.endpoint.served_entity import ModelVersion


@dataclass(frozen=True, slots=True)
class Side:
    """A summary of a configuration: its number, and for each served name the model version and the share of the
    traffic.

    Shares are percentages. Older records have none.
    """

    config: int
    versions: Mapping[str, ModelVersion]
    shares: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """The summary for people: `Configuration 3 (wine/4)`, `Configuration 4 (wine/4 90 %, wine/5 10 %)`."""
        models: dict[str, int] = {}
        for name, model in self.versions.items():
            title = f"{model.name}/{model.version}"
            models[title] = models.get(title, 0) + self.shares.get(name, 0)
        split = len(models) > 1 and bool(self.shares)
        models_and_shares = (f"{title} {share} %" if split else title for title, share in models.items())
        return f"Configuration {self.config} ({', '.join(models_and_shares)})"


@dataclass(frozen=True, slots=True)
class Switch:
    """The configurations before and after a switch. `before` is None where none served.

    `by` is who asked for it, see PendingConfig. `report` is the gate's, as JSON; empty where no gate judged.
    """

    endpoint_id: str
    at: float  # unix seconds
    by: str
    before: Side | None
    after: Side
    report: str = ""

    @property
    def kind(self) -> str:
        """The kind of the event on the switch."""
        return "rolled_back" if self.by == ROLLBACK else "promoted"

    @property
    def sentence(self) -> str:
        """The sentence of the event on the switch."""
        if self.by == ROLLBACK and self.before is not None:
            return f"{self.after} serves again, in place of {self.before}."
        return f"{self.after} serves."


def switch_of(endpoint: Endpoint) -> Switch:
    """The switch that is under way at an endpoint."""
    switching, active = endpoint.switching, endpoint.active
    assert switching is not None
    by, after = switching.to.by or endpoint.creator, side_of(switching.to.config)
    return Switch(endpoint.id, switching.at, by, side_of(active) if active else None, after, switching.report)


def side_of(config: EndpointConfig) -> Side:
    """The summary of a configuration."""
    versions = {entity.name: entity.resolved for entity in config.served_entities}
    return Side(config.version, versions, {route.served_entity: route.traffic_percentage for route in config.routes})
