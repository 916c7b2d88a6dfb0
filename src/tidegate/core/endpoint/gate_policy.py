"""What an endpoint's owner wants to be held back."""

from dataclasses import dataclass
from enum import StrEnum


class GateMode(StrEnum):
    """How much a new configuration must be like the one that serves."""

    OFF = "off"  # nothing is replayed
    SAFE = "safe"  # it must not break a caller
    STRICT = "strict"  # nor answer otherwise


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """`max_changed_share` is what `strict` allows of changed answers, 0 to 1. Where `record` is off, no request is
    kept, and so none is replayed.
    """

    mode: GateMode = GateMode.SAFE
    max_changed_share: float = 0.05
    record: bool = True
