"""Registered models as a catalogue shows them: what the registry has, by whatever way it is served."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# How many models, and how many versions of one, a catalogue has at most: the first by name, and the newest.
MAX_MODELS, MAX_VERSIONS = 10_000, 1000


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model in the list of all. `newest` is its newest version, empty where it has none.

    `stages` has the newest version in each stage, and `aliases` the version that each points to.
    """

    name: str
    newest: str = ""
    stages: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    changed_at: float = 0.0  # unix seconds


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version of a model. Its `status` is READY, or says that its registration is under way or has failed."""

    version: str
    stage: str = "None"
    aliases: tuple[str, ...] = ()
    status: str = "READY"
    message: str = ""  # about the status
    registered_at: int = 0  # unix milliseconds, by the registry's clock
    description: str = ""
    run_id: str = ""  # the run that logged it; empty where none did


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """One model with its versions, the newest first: at most MAX_VERSIONS."""

    model: RegisteredModel
    description: str = ""
    versions: tuple[RegisteredVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """A version's signature: each part as the JSON that MLflow writes into an MLmodel file, empty where it has none."""

    inputs: str = ""
    outputs: str = ""
    params: str = ""
