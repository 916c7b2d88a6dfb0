"""Which records of revisions go, and which never do."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.core.examples import a_config, a_created_endpoint, a_revision, an_entity, an_observation
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.retention import KEPT, outdated
from tidegate.core.endpoint.revision import Revision
from tidegate.core.rollout.action import Drop
from tidegate.core.rollout.plan import plan
from tidegate.core.rollout.snapshot import Snapshot

S = RevisionState
# Version 1 is parked, 2 serves, 3 has failed, 4 is on its way.
ENDPOINT = (
    a_created_endpoint()
    .promoted(1.0)
    .with_update(a_config(an_entity("wine-2", version="2"), version=2), 2.0)
    .promoted(3.0)
    .with_update(a_config(an_entity("wine-3", version="3"), version=3), 4.0)
    .update_failed("It does not load.")
)
UPDATING = replace(ENDPOINT, pending=a_created_endpoint(a_config(an_entity("wine-4", version="4"), version=4)).pending)


def old(number: int, state: RevisionState = S.RETIRED, **fields: object) -> Revision:
    """The revision of a version long gone; the higher its number, the younger."""
    entity = an_entity(f"wine-{number}", version=str(number))
    return a_revision(ENDPOINT, entity, state, **{"generation": 1, "state_since": float(number), **fields})


OLD = [old(number) for number in range(100, 100 + KEPT + 3)]


def test_the_oldest_go_and_so_many_stay() -> None:
    assert outdated(UPDATING, OLD[3:]) == []
    assert outdated(UPDATING, reversed(OLD)) == OLD[:3]


def test_what_was_asked_for_last_is_the_newest_whatever_the_clock_said() -> None:
    again = old(100, generation=7, state_since=0.0)
    assert outdated(UPDATING, [again, *OLD[1:]]) == OLD[1:4]


def test_what_any_configuration_has_stays_in_whatever_state() -> None:
    named = [old(number, state) for number in range(1, 5) for state in (S.RETIRED,)]
    named[0] = a_revision(ENDPOINT, an_entity(), S.FAILED, generation=0)
    assert outdated(UPDATING, [*named, *OLD[3:]]) == []
    assert outdated(UPDATING, [*named, *OLD]) == OLD[:3]
    switching = replace(UPDATING.let_through(5.0), pending=None)
    assert outdated(switching, [*named, *OLD[3:]]) == []


@given(st.lists(st.sampled_from(S), min_size=KEPT, max_size=3 * KEPT))
def test_only_what_is_over_goes(states: list[RevisionState]) -> None:
    revisions = [old(100 + number, state) for number, state in enumerate(states)]
    gone = outdated(ENDPOINT, revisions)
    over = sum(state in (S.FAILED, S.RETIRED) for state in states)
    assert {revision.state for revision in gone} <= {S.FAILED, S.RETIRED}
    assert len(gone) == max(0, over - KEPT)


def drops(endpoint: Endpoint, **fields: object) -> list[Drop]:
    snapshot = Snapshot((endpoint,), {revision.id: revision for revision in OLD}, observations={})
    return [action for action in plan(replace(snapshot, **fields)) if isinstance(action, Drop)]  # type: ignore[arg-type]


def test_what_the_engine_may_still_hold_stays() -> None:
    assert drops(ENDPOINT) == [Drop(tuple(revision.id for revision in OLD[:3]))]
    assert drops(ENDPOINT, observations=None) == []
    held = {OLD[1].id: an_observation(OLD[1])}
    assert drops(ENDPOINT, observations=held) == [Drop((OLD[0].id, OLD[2].id))]


def test_with_an_endpoint_that_is_deleted_all_go_at_once() -> None:
    assert drops(replace(ENDPOINT, deleted_at=5.0)) == []
