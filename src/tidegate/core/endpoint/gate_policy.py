"""The gate's policy: which new configurations an endpoint's owner wants to be held back."""

from dataclasses import dataclass
from enum import StrEnum


class GateMode(StrEnum):
    """How a new configuration is compared with the one that serves."""

    OFF = "off"  # nothing is replayed
    SAFE = "safe"  # a configuration that would break callers is held back
    STRICT = "strict"  # a configuration with other answers is held back too


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """An endpoint's own policy, or the platform's.

    `max_changed_share` is the share of changed answers that `strict` allows, 0 to 1. Where `record` is off, gateways
    record no requests, and so replay none.
    """

    mode: GateMode = GateMode.SAFE
    max_changed_share: float = 0.05
    record: bool = True
