"""The JSON of an endpoint's gate, read and written. Only Tidegate has it."""

import json
from dataclasses import asdict, replace

from pydantic import BaseModel, ConfigDict, Field

from tidegate.api.json_values import Json
from tidegate.control.endpoints.endpoint_views import GateView
from tidegate.core.endpoint.gate_policy import GateMode, GatePolicy


class GateIn(BaseModel):
    """A change of the gate policy. A value that is left out stays."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    mode: GateMode | None = None
    max_changed_share: float | None = Field(None, ge=0, le=1)
    record: bool | None = None

    def onto(self, policy: GatePolicy) -> GatePolicy:
        """The policy with this change."""
        return replace(policy, **self.model_dump(exclude_none=True))


def gate_json(view: GateView) -> Json:
    """The gate policy, and the gate's newest report or null."""
    return {"policy": asdict(view.policy), "report": json.loads(view.report) if view.report else None}
