"""Where the aliases and stages of a registered model point, and which versions it has."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.core.endpoint.endpoint import ModelRef

# The stages of MLflow's registry, as it writes them; it takes them in any case.
ARCHIVED = "Archived"
STAGES = ("None", "Staging", "Production", ARCHIVED)


@dataclass(frozen=True, slots=True)
class Pointer:
    """The version that an alias or a stage points to. One that is not ready is still being registered, or never was.

    `registered_at` as in ModelVersion; 0 where it is not known.
    """

    version: str
    ready: bool = True
    registered_at: int = 0


@dataclass(frozen=True, slots=True)
class StagedVersion:
    """A version of a model, and the stage that it is in. One that is not ready is still being registered, or failed."""

    version: str
    stage: str
    ready: bool = True
    registered_at: int = 0


@dataclass(frozen=True, slots=True)
class ModelPointers:
    """Where a model's aliases and stages point: a stage to its newest version that is ready, else to its newest one.

    `versions` are all of the model's but those archived where they were asked for, oldest first; else none.
    """

    aliases: Mapping[str, Pointer] = field(default_factory=dict)
    stages: Mapping[str, Pointer] = field(default_factory=dict)
    versions: tuple[StagedVersion, ...] = ()

    def of(self, ref: ModelRef) -> Pointer | None:
        """Where an alias or a stage of this model points; None where it points nowhere."""
        return self.stages.get(ref.version.capitalize()) if ref.alias is None else self.aliases.get(ref.alias)


def is_pointer(ref: ModelRef) -> bool:
    """Whether it names an alias or a stage, which may mean another version later."""
    return ref.alias is not None or ref.version.capitalize() in STAGES
