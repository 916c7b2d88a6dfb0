"""The table is the law: what it lists passes, everything else raises."""

import itertools

import pytest

from tidegate.core.endpoint.lifecycle import REVISION_TRANSITIONS, InvalidTransition, RevisionState, check_transition

LISTED = {(current, new) for current, following in REVISION_TRANSITIONS.items() for new in following}
PAIRS = list(itertools.product(RevisionState, RevisionState))


@pytest.mark.parametrize(("current", "new"), [pair for pair in PAIRS if pair in LISTED])
def test_a_listed_transition_passes(current: RevisionState, new: RevisionState) -> None:
    check_transition("revision r", current, new)


@pytest.mark.parametrize(("current", "new"), [pair for pair in PAIRS if pair not in LISTED])
def test_an_unlisted_transition_raises(current: RevisionState, new: RevisionState) -> None:
    with pytest.raises(InvalidTransition, match=f"revision r: {current.value} → {new.value} is not a transition"):
        check_transition("revision r", current, new)


def test_every_state_has_a_row_and_a_way_on() -> None:
    assert set(REVISION_TRANSITIONS) == set(RevisionState)
    assert all(REVISION_TRANSITIONS.values())


def test_every_state_is_reached_from_the_first() -> None:
    reached, front = {RevisionState.PENDING}, {RevisionState.PENDING}
    while front:
        front = {new for state in front for new in REVISION_TRANSITIONS[state]} - reached
        reached |= front
    assert reached == set(RevisionState)


def test_only_a_started_revision_becomes_ready() -> None:
    assert {current for current, new in LISTED if new is RevisionState.READY} == {RevisionState.STARTING}


def test_what_serves_is_never_failed_or_dropped_without_draining() -> None:
    assert REVISION_TRANSITIONS[RevisionState.READY] == {RevisionState.RETIRING}
