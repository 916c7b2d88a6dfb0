"""A served entity: one model behind an endpoint, with the settings of its replicas."""

from dataclasses import dataclass
from enum import StrEnum

from tidegate.core.endpoint.names import fit_name

# The default of how long an entity that may scale to zero keeps its replicas without a request.
IDLE_TIMEOUT_SECONDS = 1800.0

# The lowest and the highest number of concurrent requests of each workload size, as Databricks' API documents them.
WORKLOAD_SIZES = {"Small": (4, 4), "Medium": (8, 16), "Large": (16, 64)}

MAX_ENVIRONMENT_VARS = 50
MAX_VARIABLE_BYTES = 32 * 1024  # a variable's name and value together
# These variables decide which programs and libraries a replica runs, which is not for an entity to change.
_RESERVED_VARIABLES = frozenset({"PATH", "HOME", "GLIBC_TUNABLES"})
_RESERVED_PREFIXES = ("LD_", "PYTHON", "TIDEGATE_", "_MLFLOW")


class Batching(StrEnum):
    """Whether requests of different callers may be predicted together."""

    AUTO = "auto"  # where a proof shows that it is safe
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A reference to a model: its registered name, with a version number, an alias (`@champion`) or a stage."""

    name: str
    version: str

    @property
    def uri(self) -> str:
        """MLflow's URI of the reference: `models:/wine/3`, `models:/wine@champion`."""
        return f"models:/{self.name}{self.version}" if self.alias else f"models:/{self.name}/{self.version}"

    @property
    def alias(self) -> str | None:
        """The name of the alias; None for a version or a stage."""
        return self.version[1:] if self.version.startswith("@") else None


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """An exact model version of the registry, whose content never changes.

    After a model was deleted or renamed, a new one may have its name, with versions from 1 again. `registered_at` tells
    their versions apart. It is 0 in older records.
    """

    name: str
    version: str
    registered_at: int = 0  # unix milliseconds, by the registry's clock


ResolvedRef = tuple[ModelRef, ModelVersion]
"""A reference to a model, and the exact version that it pointed to."""


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """The limits of a revision's number of replicas. A replica predicts one request or one batch at a time."""

    min_replicas: int
    max_replicas: int
    idle_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class ServedEntity:
    """One model behind an endpoint, with its settings.

    `model` is the owner's reference, and `resolved` the exact version that it pointed to when the configuration was
    accepted.
    """

    name: str
    model: ModelRef
    resolved: ModelVersion
    workload_size: str = "Small"
    workload_type: str = "CPU"
    scale_to_zero_enabled: bool = False
    min_provisioned_concurrency: int | None = None
    max_provisioned_concurrency: int | None = None
    environment_vars: tuple[tuple[str, str], ...] = ()
    idle_timeout_seconds: float = IDLE_TIMEOUT_SECONDS
    batching: Batching = Batching.AUTO
    timeout_seconds: float = 60.0
    retry_on_crash: bool = True
    trials: bool = True

    @property
    def may_be_tried(self) -> bool:
        """Whether trials and replays may send the model requests that no caller has sent, or send some again."""
        return self.trials and self.retry_on_crash

    @property
    def scaling(self) -> ScalingPolicy:
        """The limits of the entity's number of replicas.

        A workload size is an upper limit, see WORKLOAD_SIZES. Only an explicit minimum is kept ready.
        """
        low, high = 0, WORKLOAD_SIZES.get(self.workload_size, WORKLOAD_SIZES["Small"])[1]
        if self.max_provisioned_concurrency is not None:
            low, high = self.min_provisioned_concurrency or 0, self.max_provisioned_concurrency
        floor = 0 if self.scale_to_zero_enabled else max(1, low)
        return ScalingPolicy(floor, max(1, low, high), self.idle_timeout_seconds)


def is_reserved_variable(name: str) -> bool:
    """Whether a served entity may not set this environment variable of its replicas."""
    return name in _RESERVED_VARIABLES or name.startswith(_RESERVED_PREFIXES)


def default_served_name(model: ModelRef) -> str:
    """The name `{model}-{version}`, in valid characters."""
    return fit_name(model.name, model.version)
