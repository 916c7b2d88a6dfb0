"""Looks up the aliases and stages of many models by MLflow's client, as a rule by one query for all of them.

The versions of listed models need one more query for all of these models (see `search`).
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from tidegate.adapters.mlflow.search import all_versions, search_models, search_versions
from tidegate.core.rollout.pointers import ARCHIVED

Pointed = tuple[str, bool, int]
"""A version, whether it is READY, and when it was registered."""

Listed = tuple[str, str, bool, int]
"""A version, its stage, whether it is READY, and when it was registered."""


class MlflowPointers:
    """Looks up pointers by one client. A version that was READY stays so, and is not looked up again."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ready: dict[tuple[str, int, str], int] = {}  # see _key → when the version was registered

    def of(self, names: Collection[str], listed: Collection[str]) -> dict[str, dict[str, Any]]:
        """Name → `aliases` and `stages` with the version that each points to, and `versions`.

        `versions` are all versions of the models in `listed` that are not archived. Names that the registry does not
        have are left out.
        """
        found = search_models(self._client, names)
        versions = search_versions(self._client, [name for name in listed if name in found])
        return {
            name: {
                "aliases": self._aliases(model),
                "stages": self._stages(model, versions.get(name, [])),
                "versions": [_listed(one) for one in versions.get(name, []) if one.current_stage != ARCHIVED],
            }
            for name, model in found.items()
        }

    def _aliases(self, model: Any) -> dict[str, Pointed]:
        for version in model.latest_versions:
            self._remember(model, version)
        return {alias: self._pointed(model, str(version)) for alias, version in model.aliases.items()}

    def _stages(self, model: Any, versions: Sequence[Any]) -> dict[str, Pointed]:
        """Stage → its newest version: of `versions` where they are known, as they were looked up after the model."""
        stages = {latest.current_stage: latest for latest in versions or model.latest_versions}
        if any(latest.status != "READY" for latest in stages.values()):
            every = versions or all_versions(self._client, model.name)
            stages |= _newest(version for version in every if self._remember(model, version))
        return {
            stage: (str(version.version), version.status == "READY", registered_at(version))
            for stage, version in stages.items()
        }

    def _pointed(self, model: Any, version: str) -> Pointed:
        from mlflow.exceptions import MlflowException

        key = _key(model, version)
        try:
            ready = key in self._ready or self._remember(model, self._client.get_model_version(model.name, version))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # deleted at this moment
                raise
            ready = False
        return version, ready, self._ready.get(key, 0)

    def _remember(self, model: Any, version: Any) -> bool:
        """Whether it is READY."""
        if version.status == "READY":
            self._ready[_key(model, version.version)] = registered_at(version)
        return bool(version.status == "READY")


def registered_at(registered: Any) -> int:
    """When a model or a version was registered, milliseconds since 1970; 0 where the registry does not say.

    Neither a new name nor a stage, an alias or a description changes it.
    """
    return int(registered.creation_timestamp or 0)


def _key(model: Any, version: object) -> tuple[str, int, str]:
    """The key under which a version is remembered. It differs for a model that was registered anew."""
    return model.name, registered_at(model), str(version)


def _listed(version: Any) -> Listed:
    return str(version.version), str(version.current_stage), version.status == "READY", registered_at(version)


def _newest(versions: Iterable[Any]) -> dict[str, Any]:
    """Stage → its newest version."""
    return {version.current_stage: version for version in sorted(versions, key=lambda version: int(version.version))}
