"""The plan of a pass. `core.rollout.plan` makes it, and only when the world has changed."""

import logging
from dataclasses import replace

from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.rollout.action import Action
from tidegate.core.rollout.plan import plan
from tidegate.core.rollout.snapshot import Snapshot
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)


class Planner:
    """Makes plans, and remembers the last world in which nothing was due: while it stays, nothing is planned."""

    def __init__(self) -> None:
        self._settled: Snapshot | None = None

    def plan(self, snapshot: Snapshot) -> tuple[Action, ...]:
        """The actions that are due, in their order."""
        if self._settled is not None and _same(snapshot, self._settled):
            return ()
        actions = _plan_all(snapshot)
        self._settled = None if actions else snapshot
        return actions


def _plan_all(snapshot: Snapshot) -> tuple[Action, ...]:
    try:
        return plan(snapshot)
    except Exception:
        logger.exception("the plan for all endpoints failed; each is planned by itself")
        return tuple(action for endpoint in snapshot.endpoints for action in _plan_alone(snapshot, endpoint))


def _plan_alone(snapshot: Snapshot, endpoint: Endpoint) -> tuple[Action, ...]:
    """One endpoint's plan, so that a defect in another endpoint's plan does not stop it."""
    revisions = {rid: revision for rid, revision in snapshot.revisions.items() if revision.endpoint_id == endpoint.id}
    seen = snapshot.observations
    mine = None if seen is None else {rid: seen[rid] for rid in revisions if rid in seen}
    try:
        return plan(replace(snapshot, endpoints=(endpoint,), revisions=revisions, observations=mine))
    except Exception:
        logger.exception("an endpoint cannot be planned", extra=fields(endpoint=endpoint.name))
        return ()


def _same(one: Snapshot, other: Snapshot) -> bool:
    """Whether two worlds are the same. Parts with thousands of entries are compared by identity."""
    whole = one.endpoints is other.endpoints and one.revisions is other.revisions
    return whole and one.observations is other.observations and _details(one) == _details(other)


def _details(snapshot: Snapshot) -> Snapshot:
    """The world without the parts that may have thousands of entries."""
    return replace(snapshot, endpoints=(), revisions={}, observations=None)
