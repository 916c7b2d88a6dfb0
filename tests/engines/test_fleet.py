"""What an agent's account keeps of a revision when its target changes."""

from dataclasses import replace
from typing import cast

from tests.engines.test_plan import NOW, A, held
from tidegate.core.revision import RevisionTarget
from tidegate.engines.fleet import Fleet
from tidegate.engines.targets import Applied
from tidegate.engines.templates import Templates

PARKED = replace(held(A).target, parked=True)


class NoTemplates:
    """Stands for the templates: there are none."""

    def key_of(self, _: RevisionTarget) -> str:
        return "template"


def test_what_made_room_while_it_was_parked_comes_back_when_it_is_to_be_kept() -> None:
    fleet = Fleet(60.0, cast("Templates", NoTemplates()))
    fleet.hold(Applied(PARKED))
    fleet.evict(A, "tea", NOW, 1.0)
    fleet.hold(Applied(replace(PARKED, memory_bytes=1)))
    assert fleet.revisions[A].evicted  # still parked: only a request wakes it
    fleet.hold(Applied(replace(PARKED, min_replicas=1, parked=False)))
    assert not fleet.revisions[A].evicted
