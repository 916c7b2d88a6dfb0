"""What a caller asks the verbs for: an endpoint, or another configuration of one."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.core.endpoint.endpoint import Route
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.legacy_face import Face
from tidegate.core.endpoint.served_entity import ModelVersion, ServedEntity
from tidegate.core.errors import InvalidParameter

# The value of `ServedEntity.resolved` in a request. The verbs replace it by the version that the registry names.
UNRESOLVED = ModelVersion("", "")

MAX_TAGS = 50
# Characters of a tag's key and of its value.
_MAX_TAG_KEY, _MAX_TAG_VALUE = 256, 1024


@dataclass(frozen=True, slots=True)
class ConfigRequest:
    """A configuration as asked for.

    Without `routes`, the first entity gets all traffic. Without `served_entities`, an update keeps the present ones at
    their present versions.
    """

    served_entities: tuple[ServedEntity, ...] | None
    routes: tuple[Route, ...] | None = None
    forced: bool = False  # switch to it without a gate


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """An endpoint as asked for."""

    name: str
    config: ConfigRequest
    creator: str
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    route_optimized: bool = False
    face: Face | None = None
    gate: GatePolicy | None = None


def check_tags(tags: Sequence[tuple[str, str]]) -> None:
    """Raise InvalidParameter where an endpoint may not have these tags."""
    if len(tags) > MAX_TAGS:
        raise InvalidParameter(f"An endpoint may have {MAX_TAGS} tags.")
    if any(not key or len(key) > _MAX_TAG_KEY or len(value) > _MAX_TAG_VALUE for key, value in tags):
        raise InvalidParameter(
            f"A tag's key must have 1 to {_MAX_TAG_KEY} characters, and its value at most {_MAX_TAG_VALUE}."
        )
