"""Pointers: the aliases and stages of a registered model, with the versions that they point to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.core.endpoint.served_entity import ModelRef

# The stages of MLflow's registry, as it writes them; it takes them in any case.
ARCHIVED = "Archived"
STAGES = ("None", "Staging", "Production", ARCHIVED)


@dataclass(frozen=True, slots=True)
class Pointer:
    """The version that an alias or a stage points to. It is not `ready` while or because its registration is not done.

    `registered_at` as in ModelVersion; 0 where it is not known.
    """

    version: str
    ready: bool = True
    registered_at: int = 0


@dataclass(frozen=True, slots=True)
class StagedVersion:
    """A version of a model, and its stage. It is not `ready` while it is being registered, or where that failed."""

    version: str
    stage: str
    ready: bool = True
    registered_at: int = 0


@dataclass(frozen=True, slots=True)
class ModelPointers:
    """The pointers of one model. A stage points to its newest version that is ready, or else to its newest version.

    `versions` are all versions but the archived ones, oldest first; empty where they were not asked for.
    """

    aliases: Mapping[str, Pointer] = field(default_factory=dict)
    stages: Mapping[str, Pointer] = field(default_factory=dict)
    versions: tuple[StagedVersion, ...] = ()

    def of(self, ref: ModelRef) -> Pointer | None:
        """The pointer of an alias or a stage; None where the model has no such pointer."""
        return self.stages.get(ref.version.capitalize()) if ref.alias is None else self.aliases.get(ref.alias)


def is_pointer(ref: ModelRef) -> bool:
    """Whether the reference is an alias or a stage, which may point to another version later."""
    return ref.alias is not None or ref.version.capitalize() in STAGES
