"""How long what is parked keeps its replicas, and what waits for them."""

import pytest

from tests.core.examples import a_config, a_created_endpoint, a_revision, an_entity, an_observation, rid
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import ReplicaState
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.rollout.parking import due, kept_until, must_wake, parked_replicas, parked_revisions

ONE, TWO = an_entity(), an_entity("wine-2", version="2")
UPDATED = a_created_endpoint().promoted(1.0).with_update(a_config(TWO, version=2), 2.0).promoted(3.0)
PARKED = rid(UPDATED, ONE)


def test_what_is_parked_is_known_with_its_time() -> None:
    parked = parked_revisions([a_created_endpoint(name="other"), UPDATED])
    assert parked == {PARKED: UPDATED.previous}
    assert kept_until(parked[PARKED], 600.0) == 603.0
    assert list(due(parked, 600.0, 602.9)) == []
    assert list(due(parked, 600.0, 603.0)) == [PARKED]
    assert list(due(parked, 0.0, 3.0)) == [PARKED]


@pytest.mark.parametrize(
    ("before", "held", "over", "replicas"),
    [
        (3, 3, False, 3),
        (1, 1, False, 1),
        (0, 0, False, 0),  # it slept when it was parked
        (0, 1, False, 1),  # a late request has woken it
        (3, 3, True, 0),
        (0, 1, True, 0),
    ],
)
def test_replicas_stay_until_their_time_is_over(before: int, held: int, over: bool, replicas: int) -> None:
    assert parked_replicas(before, held, over=over) == replicas


SLEEPER = an_entity(scale_to_zero_enabled=True)
BACK = UPDATED.with_update(a_config(ONE, version=3), 4.0)


@pytest.mark.parametrize(
    ("endpoint", "entity", "asked", "waits"),
    [
        (BACK, ONE, False, True),
        (BACK, SLEEPER, False, False),
        (BACK, SLEEPER, True, True),  # the gate is to ask it
        (UPDATED.with_update(a_config(ONE, TWO, version=3), 4.0), TWO, False, False),  # it serves already
        (UPDATED.rolled_back(4.0), ONE, False, False),
    ],
)
def test_an_update_to_what_sleeps_waits_for_a_replica(
    endpoint: Endpoint, entity: ServedEntity, asked: bool, waits: bool
) -> None:
    revision = a_revision(endpoint, entity, RevisionState.READY)
    starting = an_observation(revision, ReplicaState.STARTING)
    assert must_wake(endpoint, entity, None, asked=asked) is waits
    assert must_wake(endpoint, entity, starting, asked=asked) is waits
    assert must_wake(endpoint, entity, an_observation(revision, ReplicaState.READY), asked=asked) is False
