"""What an agent's account keeps of a revision when its target changes."""

import math
from dataclasses import replace
from typing import cast

import pytest

from tests.engines.scheduling.test_schedule import NOW, A, B, held
from tidegate.core.endpoint.revision import Proof, RevisionTarget
from tidegate.engines.replicas.applied_targets import AppliedTarget
from tidegate.engines.replicas.fleet import Fleet
from tidegate.engines.templates.templates import Templates

PARKED = replace(held(A).target, parked=True)


class NoTemplates:
    """Stands for the templates: there are none, or one that is being made or warm."""

    def __init__(self, awaited: float = -math.inf, tried: float = -math.inf, *, warm: bool = False) -> None:
        self.awaited, self.tried, self.warm = awaited, tried, {"template"} if warm else set()

    def key_of(self, _: RevisionTarget) -> str:
        return "template"

    def awaited_until(self, _key: str, _now: float) -> float:
        return self.awaited

    def tried_until(self, _key: str) -> float:
        return self.tried

    def may_begin(self, _key: str, _now: float) -> bool:
        return False


def test_what_made_room_while_it_was_parked_comes_back_when_it_is_to_be_kept() -> None:
    fleet = Fleet(60.0, cast("Templates", NoTemplates()))
    fleet.hold(AppliedTarget(PARKED))
    fleet.evict(A, "tea", NOW, 1.0)
    fleet.hold(AppliedTarget(replace(PARKED, memory_bytes=1)))
    assert fleet.revisions[A].evicted  # still parked: only a request wakes it
    fleet.hold(AppliedTarget(replace(PARKED, min_replicas=1, parked=False)))
    assert not fleet.revisions[A].evicted


@pytest.mark.parametrize(
    ("start", "until"),
    [
        (None, NOW + 5),  # not tried: what is being made is waited for, and then the trial
        ({"mode": "fork", "reason": ""}, NOW + 3),
        ({"mode": "spawn", "reason": "x"}, -math.inf),
    ],
)
def test_a_start_waits_for_the_template_that_its_revision_is_to_be_tried_on(
    start: dict[str, str] | None, until: float
) -> None:
    templates = cast("Templates", NoTemplates(NOW + 3, NOW + 5))
    fleet = Fleet(60.0, templates)
    fleet.hold(AppliedTarget(PARKED, proof=Proof("input_example", start=start)))
    assert fleet.revisions[A].facts(templates, NOW).template_until == until


def test_a_revision_that_was_not_tried_is_not_forked_and_one_without_a_replica_yet_tries_it_at_once() -> None:
    templates = cast("Templates", NoTemplates(NOW + 3, NOW + 5, warm=True))
    fleet = Fleet(60.0, templates)
    fleet.hold(AppliedTarget(PARKED, proof=Proof("input_example")))
    assert not fleet.revisions[A].facts(templates, NOW).can_fork
    fleet.hold(AppliedTarget(replace(PARKED, revision=B)))
    first = fleet.revisions[B].facts(templates, NOW)
    assert (first.can_fork, first.template_until) == (True, -math.inf)
