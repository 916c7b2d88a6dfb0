"""Which version of a model a number, an alias or a stage means, by MLflow's client."""

from typing import Any

from tidegate.adapters.mlflow.pointer_queries import registered_at
from tidegate.adapters.mlflow.search import all_versions
from tidegate.core import errors
from tidegate.core.endpoint.served_entity import ModelRef
from tidegate.core.rollout.pointers import STAGES


def resolve(client: Any, ref: ModelRef) -> tuple[str, int]:
    """The version that `ref` means now, and when it was registered.

    Raises NotFound, and Conflict for a version that is not READY.
    """
    found = find(client, ref)
    status = str(found.status)
    if status == "READY":
        return str(found.version), registered_at(found)
    detail = f": {found.status_message}" if found.status_message else ""
    if status.startswith("PENDING"):
        raise errors.Conflict(
            f"Version {found.version} of model '{ref.name}' is still being registered{detail}. "
            "Try again when it is READY."
        )
    raise errors.Conflict(
        f"Version {found.version} of model '{ref.name}' was not registered ({status}{detail}). Register it again."
    )


def find(client: Any, ref: ModelRef) -> Any:
    """MLflow's record of the version that `ref` means now, whatever its status. Raises NotFound."""
    from mlflow.exceptions import MlflowException

    if ref.alias is None and not ref.version.isdecimal():
        return _newest_in_stage(client, ref)
    try:
        if ref.alias is not None:
            return client.get_model_version_by_alias(ref.name, ref.alias)
        return client.get_model_version(ref.name, ref.version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise _not_found(client, ref) from error


def _newest_in_stage(client: Any, ref: ModelRef) -> Any:
    versions = all_versions(client, ref.name)
    if ref.version.lower() != "latest":
        stage = next((stage for stage in STAGES if stage.lower() == ref.version.lower()), None)
        if stage is None:
            raise errors.NotFound(
                f"Model '{ref.name}' has no version '{ref.version[:80]}': give a version number, an alias such as "
                f"@champion, a stage ({', '.join(STAGES)}), or latest."
            )
        versions = [version for version in versions if version.current_stage == stage]
    if not versions:
        raise _not_found(client, ref)
    return max(versions, key=lambda version: int(version.version))


def _not_found(client: Any, ref: ModelRef) -> errors.NotFound:
    """An error that names what was asked for, and what the registry has instead."""
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(ref.name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        names = [model.name for model in client.search_registered_models(max_results=10)]
        there = f"It has {', '.join(names)}." if names else "It is empty."
        return errors.NotFound(f"The registry has no model '{ref.name[:80]}'. {there}")
    if ref.alias is not None:
        aliases = ", ".join(f"@{alias} (version {version})" for alias, version in sorted(model.aliases.items()))
        there = f"It has {aliases}." if aliases else "It has no alias at all."
        return errors.NotFound(f"Model '{ref.name}' has no alias '@{ref.alias[:80]}'. {there}")
    versions = all_versions(client, ref.name)
    if not versions:
        return errors.NotFound(f"Model '{ref.name}' has no versions.")
    if ref.version.isdecimal():
        numbers = ", ".join(str(version.version) for version in versions[-20:])
        return errors.NotFound(f"Model '{ref.name}' has versions {numbers}; version {ref.version[:80]} is not there.")
    stages = ", ".join(f"{version.version} in {version.current_stage}" for version in versions[-20:])
    return errors.NotFound(f"Model '{ref.name}' has no version in stage {ref.version.capitalize()}; it has {stages}.")
