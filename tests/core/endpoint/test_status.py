"""The public states, for every combination of what is known."""

from dataclasses import replace

import pytest

from tests.core.examples import a_config, a_created_endpoint, a_revision, an_endpoint, an_entity, an_observation, rid
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import ReplicaState, Revision
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.endpoint.status import ConfigUpdate, Deployment, EndpointStatus, Ready, project

S = RevisionState
ONE, TWO = an_entity(), an_entity("wine-2", version="2")
SLEEPY = an_entity(scale_to_zero_enabled=True)
CREATED = a_created_endpoint()
SERVING = CREATED.promoted(1.0)
UPDATING = SERVING.with_update(a_config(TWO, version=2), 2.0)

# State of a revision with one replica ready, with none, and with none where it may sleep.
DEPLOYMENTS = {
    S.PENDING: (Deployment.CREATING, Deployment.CREATING, Deployment.CREATING),
    S.PREPARING: (Deployment.CREATING, Deployment.CREATING, Deployment.CREATING),
    S.STARTING: (Deployment.CREATING, Deployment.CREATING, Deployment.CREATING),
    S.READY: (Deployment.READY, Deployment.RECOVERING, Deployment.READY),
    S.FAILED: (Deployment.FAILED, Deployment.FAILED, Deployment.FAILED),
    S.RETIRING: (Deployment.ABORTED, Deployment.ABORTED, Deployment.ABORTED),
    S.RETIRED: (Deployment.ABORTED, Deployment.ABORTED, Deployment.ABORTED),
}


def status(endpoint: Endpoint, *revisions: Revision, ready: bool = False) -> EndpointStatus:
    """The public state, with or without a ready replica of each revision."""
    held = (ReplicaState.READY,) if ready else ()
    seen = {revision.id: an_observation(revision, *held) for revision in revisions if revision.environment}
    return project(endpoint, {revision.id: revision for revision in revisions}, seen)


def deployment(endpoint: Endpoint, entity: ServedEntity, state: RevisionState, ready: bool) -> Deployment:
    revision = a_revision(endpoint, entity, state)
    return status(endpoint, revision, ready=ready).entities[revision.id].deployment


def test_the_table_is_whole() -> None:
    assert set(DEPLOYMENTS) == set(RevisionState)


@pytest.mark.parametrize("state", RevisionState)
def test_the_deployment_state_of_an_entity(state: RevisionState) -> None:
    sleepy = replace(SERVING, active=a_config(SLEEPY))
    found = (
        deployment(SERVING, ONE, state, ready=True),
        deployment(SERVING, ONE, state, ready=False),
        deployment(sleepy, SLEEPY, state, ready=False),
    )
    assert found == DEPLOYMENTS[state]


@pytest.mark.parametrize("state", [S.STARTING, S.READY])
def test_what_keeps_a_replica_from_starting_is_told_also_where_it_may_sleep(state: RevisionState) -> None:
    sleepy = replace(SERVING, active=a_config(SLEEPY))
    revision = a_revision(sleepy, SLEEPY, state, message="As recorded.")
    for replicas, message in ((), "No room."), ((ReplicaState.READY,), "As recorded."):
        seen = an_observation(revision, *replicas, message="No room.")
        told = project(sleepy, {revision.id: revision}, {revision.id: seen}).entities[revision.id]
        assert told.message == ("No room." if state is S.STARTING else message)


@pytest.mark.parametrize("state", RevisionState)
@pytest.mark.parametrize("ready", [True, False])
def test_an_endpoint_is_ready_when_its_active_entities_are(state: RevisionState, ready: bool) -> None:
    found = status(SERVING, a_revision(SERVING, ONE, state), ready=ready)
    assert (found.ready is Ready.READY) == (state is S.READY and ready)


def test_an_entity_without_a_revision_is_being_created() -> None:
    found = status(CREATED)
    assert found.entities[rid(CREATED, ONE)].deployment is Deployment.CREATING
    assert found.message == "Waiting to be prepared."


@pytest.mark.parametrize(
    ("endpoint", "update"),
    [
        (an_endpoint(), ConfigUpdate.NOT_UPDATING),
        (CREATED, ConfigUpdate.IN_PROGRESS),
        (SERVING, ConfigUpdate.NOT_UPDATING),
        (UPDATING, ConfigUpdate.IN_PROGRESS),
        (UPDATING.promoted(1.0), ConfigUpdate.NOT_UPDATING),
        (UPDATING.update_failed("No."), ConfigUpdate.UPDATE_FAILED),
        (CREATED.update_failed("No."), ConfigUpdate.UPDATE_FAILED),
        (UPDATING.update_failed("No.").with_update(a_config(), 3.0), ConfigUpdate.IN_PROGRESS),
    ],
)
def test_the_update_is_the_other_axis(endpoint: Endpoint, update: ConfigUpdate) -> None:
    assert status(endpoint).config_update is update


def test_an_endpoint_stays_ready_while_an_update_runs_and_after_it_failed() -> None:
    one, two = a_revision(SERVING, ONE, S.READY), a_revision(UPDATING, TWO, S.PREPARING)
    assert status(UPDATING, one, two, ready=True).ready is Ready.READY
    failed = UPDATING.update_failed("No module named 'x'.")
    found = status(failed, one, replace(two, state=S.FAILED, message="No module named 'x'."), ready=True)
    assert (found.ready, found.message) == (Ready.READY, "No module named 'x'.")
    assert found.entities[two.id].deployment is Deployment.FAILED


def test_an_endpoint_that_never_came_up_is_not_ready() -> None:
    found = status(CREATED.update_failed("No."), a_revision(CREATED, ONE, S.FAILED, message="No."))
    assert (found.ready, found.config_update) == (Ready.NOT_READY, ConfigUpdate.UPDATE_FAILED)


def test_the_message_is_of_the_entity_that_is_not_ready() -> None:
    both = replace(SERVING, active=a_config(ONE, TWO))
    one = a_revision(SERVING, ONE, S.READY, message="A warning.")
    two = a_revision(SERVING, TWO, S.STARTING, message="A replica is being started.")
    assert status(both, one, two, ready=True).message == "A replica is being started."


def test_a_crash_tells_its_cause() -> None:
    one = a_revision(SERVING, ONE, S.READY)
    found = project(SERVING, {one.id: one}, {one.id: an_observation(one, message="It ran out of memory.")})
    assert found.entities[one.id].message == "It ran out of memory."


@pytest.mark.parametrize("state", [S.FAILED, S.RETIRING, S.RETIRED])
def test_what_is_asked_for_again_is_being_created(state: RevisionState) -> None:
    earlier = a_revision(UPDATING, TWO, state, generation=UPDATING.generation - 1)
    assert status(UPDATING, earlier).entities[earlier.id].deployment is Deployment.CREATING


def test_a_deleted_endpoint_still_has_a_status() -> None:
    gone = replace(UPDATING, deleted_at=5.0)
    assert set(status(gone).entities) == {rid(gone, ONE), rid(gone, TWO)}
