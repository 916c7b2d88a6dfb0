"""Lists registered models, and the versions of one, by MLflow's client: by few queries, page by page."""

from typing import Any

from tidegate.adapters.mlflow.pointer_queries import registered_at
from tidegate.adapters.mlflow.search import all_versions, first_models, search_models
from tidegate.core import errors
from tidegate.core.endpoint.registered_model import (
    MAX_MODELS,
    MAX_VERSIONS,
    ModelDetails,
    RegisteredModel,
    RegisteredVersion,
)


def models(client: Any) -> list[RegisteredModel]:
    """The first MAX_MODELS models by name."""
    return [_listed(model) for model in first_models(client, MAX_MODELS)]


def details(client: Any, name: str) -> ModelDetails:
    """One model with its versions. Raises NotFound."""
    model = search_models(client, [name]).get(name)
    if model is None:
        raise errors.NotFound(f"The registry has no model '{name[:80]}'. Register it first.")
    aliases: dict[str, list[str]] = {}
    for alias, version in sorted(model.aliases.items()):
        aliases.setdefault(str(version), []).append(alias)
    versions = [_version(one, aliases.get(str(one.version), [])) for one in all_versions(client, name)]
    newest = versions[-1].version if versions else ""
    return ModelDetails(_listed(model, newest), str(model.description or ""), tuple(versions[::-1][:MAX_VERSIONS]))


def _listed(model: Any, newest: str = "") -> RegisteredModel:
    """A model as the list has it. Its newest version is among the newest of its stages."""
    stages = {str(one.current_stage): str(one.version) for one in model.latest_versions}
    return RegisteredModel(
        model.name,
        newest or max(stages.values(), key=int, default=""),
        stages,
        {str(alias): str(version) for alias, version in model.aliases.items()},
        (model.last_updated_timestamp or 0) / 1000,
    )


def _version(version: Any, aliases: list[str]) -> RegisteredVersion:
    return RegisteredVersion(
        str(version.version),
        str(version.current_stage),
        tuple(aliases),
        str(version.status),
        str(version.status_message or ""),
        registered_at(version),
        str(version.description or ""),
        str(version.run_id or ""),
    )
