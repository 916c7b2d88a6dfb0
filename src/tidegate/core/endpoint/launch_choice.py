"""What a launch means where its owner says nothing else: which version of a model is served, and under which name."""

from collections.abc import Collection

from tidegate.core.endpoint.names import NAME_CHARACTERS, fit_name
from tidegate.core.endpoint.registered_model import RegisteredModel
from tidegate.core.endpoint.served_entity import ModelRef

# The pointer by which a model's owner says what is to serve, in the order of preference.
_CHAMPION, _PRODUCTION = "champion", "Production"


def usual_reference(model: RegisteredModel) -> ModelRef | None:
    """The version that a launch of the model serves; None where it has no version.

    It is the alias `@champion`, or else the stage Production, which the endpoint then follows. Without both it is the
    newest version.
    """
    if _CHAMPION in model.aliases:
        return ModelRef(model.name, f"@{_CHAMPION}")
    if _PRODUCTION in model.stages:
        return ModelRef(model.name, _PRODUCTION)
    return ModelRef(model.name, model.newest) if model.newest else None


def version_meant(model: RegisteredModel, reference: str) -> str:
    """The version that a reference to a listed model means, as far as the list knows; empty where it does not."""
    pointers = {**{f"@{alias}": version for alias, version in model.aliases.items()}, **model.stages}
    return reference if reference.isdecimal() else pointers.get(reference, "")


def free_name(model: str, taken: Collection[str]) -> str:
    """The endpoint's name: the model's in valid characters, with a number where an endpoint has it: `wine-2`."""
    name, number = fit_name(model), 1
    while name in taken:
        number += 1
        end = f"-{number}"
        name = fit_name(model)[: NAME_CHARACTERS - len(end)] + end
    return name
