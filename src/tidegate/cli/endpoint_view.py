"""An endpoint as the API answers it, read for a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.core.endpoint.status import ConfigUpdate, Deployment, Ready

Json = dict[str, Any]

_READY: Mapping[str, str] = {Ready.READY: "Ready", Ready.NOT_READY: "Not ready"}
_UPDATE: Mapping[str, str] = {ConfigUpdate.IN_PROGRESS: " (updating)", ConfigUpdate.UPDATE_FAILED: " (update failed)"}

# What there is to say of an alias or a stage that moves nothing.
_POINTER_NOTES: Mapping[str, str] = {
    "lost": " That points nowhere now, so nothing changes.",
    "rolled_back": " A rollback took away what that means now, so nothing changes until it moves.",
}


@dataclass(frozen=True, slots=True)
class ServedView:
    """A served entity of an answer."""

    json: Json

    @property
    def name(self) -> str:
        return str(self.json.get("name", ""))

    @property
    def model(self) -> str:
        """Its model as MLflow writes it, without `models:/`: `wine/3`, `wine@champion`."""
        name, version = self.json.get("entity_name", ""), str(self.json.get("entity_version", ""))
        return f"{name}{version}" if version.startswith("@") else f"{name}/{version}"

    @property
    def uri(self) -> str:
        """MLflow's URI of the exact version: `models:/wine/3`."""
        return f"models:/{self.json.get('entity_name', '')}/{self.json.get('resolved_version', '')}"

    @property
    def following(self) -> str:
        """A sentence on the alias or the stage that it follows; empty for an exact version."""
        pointer, name, asked = (self.json.get(key, "") for key in ("pointer", "entity_name", "entity_version"))
        if not pointer:
            return ""
        version, note = self.json.get("resolved_version"), _POINTER_NOTES.get(pointer, "")
        return f"'{self.name}' follows '{asked}' of model '{name}'; here it is version {version}.{note}"

    @property
    def deployment(self) -> str:
        """Its public state."""
        return str((self.json.get("state") or {}).get("deployment", ""))

    @property
    def ready(self) -> bool:
        return self.deployment == Deployment.READY

    @property
    def message(self) -> str:
        """The server's sentence on it; empty when there is nothing to say."""
        return str((self.json.get("state") or {}).get("deployment_state_message") or "")


@dataclass(frozen=True, slots=True)
class ConfigView:
    """A configuration of an answer: what serves, is on its way, or did not come up."""

    json: Json

    def __iter__(self) -> Iterator[ServedView]:
        return (ServedView(entity) for entity in self.json.get("served_entities") or ())

    @property
    def version(self) -> int | None:
        return self.json.get("config_version")

    def share(self, served: ServedView) -> int | None:
        """The percentage of the traffic that goes to a served entity, where the configuration says so."""
        for route in (self.json.get("traffic_config") or {}).get("routes", ()):
            if served.name in (route.get("served_entity_name"), route.get("served_model_name")):
                return int(route["traffic_percentage"])
        return None


@dataclass(frozen=True, slots=True)
class EndpointView:
    """Databricks' `ServingEndpointDetailed`, or its short form in a list."""

    json: Json

    @property
    def name(self) -> str:
        return str(self.json.get("name", ""))

    @property
    def updating(self) -> bool:
        """Whether a configuration is on its way."""
        return self._state("config_update") == ConfigUpdate.IN_PROGRESS

    @property
    def update_failed(self) -> bool:
        """Whether the last configuration did not come up."""
        return self._state("config_update") == ConfigUpdate.UPDATE_FAILED

    @property
    def held_back(self) -> bool:
        """Whether it was the gate that did not let it through."""
        return self.update_failed and bool((self.json.get("failed_config") or {}).get("gate"))

    @property
    def words(self) -> str:
        """Its state, as Databricks' pages put it: `Ready`, `Ready (update failed)`, `Not ready (updating)`.

        `Not ready (failed)` is Tidegate's own: no update failed where nothing has ever served.
        """
        ready = self._state("ready")
        if ready == Ready.NOT_READY and self.update_failed and self.never_served:
            return "Not ready (failed)"
        return _READY.get(ready, ready) + _UPDATE.get(self._state("config_update"), "")

    @property
    def never_served(self) -> bool:
        """Of an endpoint whose last configuration failed: whether none before it has served. In a list: not known."""
        return self.serving.version == self.failed.version

    @property
    def message(self) -> str:
        """The server's sentence on what is not as asked; empty when all is."""
        return self._state("message")

    @property
    def replicas(self) -> str:
        """How many of them can answer now, in a word; empty where the server does not say."""
        count = (self.json.get("state") or {}).get("replicas")
        asleep = count == 0 and self._state("ready") == Ready.READY
        return "asleep" if asleep else "" if count is None else str(count)

    @property
    def serving(self) -> ConfigView:
        """The active configuration; while nothing has ever served, the one that failed."""
        return ConfigView(self.json.get("config") or {})

    @property
    def coming(self) -> ConfigView:
        """The configuration on its way."""
        return ConfigView(self.json.get("pending_config") or {})

    @property
    def failed(self) -> ConfigView:
        """The configuration that the last update failed to bring up."""
        return ConfigView(self.json.get("failed_config") or {})

    def _state(self, name: str) -> str:
        return str((self.json.get("state") or {}).get(name) or "")
