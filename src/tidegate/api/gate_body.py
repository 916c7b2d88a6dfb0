"""The public JSON of an endpoint's gate. Ours alone: Databricks' API has none."""

import json
from dataclasses import asdict, replace

from pydantic import BaseModel, ConfigDict, Field

from tidegate.api.json_values import Json
from tidegate.control.endpoints.endpoint_views import GateView
from tidegate.core.endpoint.gate_policy import GateMode, GatePolicy


class GateIn(BaseModel):
    """A change of what the gate holds back; what is left out stays."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    mode: GateMode | None = None
    max_changed_share: float | None = Field(None, ge=0, le=1)
    record: bool | None = None

    def onto(self, policy: GatePolicy) -> GatePolicy:
        """The policy with this change."""
        return replace(policy, **self.model_dump(exclude_none=True))


def gate_json(view: GateView) -> Json:
    """What the gate holds back, and its newest report, or null."""
    return {"policy": asdict(view.policy), "report": json.loads(view.report) if view.report else None}
