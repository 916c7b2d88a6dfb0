"""The states that the older products show: of every version, by whatever endpoint has to do with it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.core.examples import a_revision, an_observation
from tests.core.legacy_products.test_enabled_endpoints import SERVERLESS, config, endpoint
from tidegate.core.endpoint.endpoint import Endpoint, FailedConfig, PendingConfig
from tidegate.core.endpoint.lifecycle import RevisionState as S
from tidegate.core.endpoint.revision import ReplicaState, Revision
from tidegate.core.endpoint.status import project
from tidegate.core.legacy_products.enablement import Compute
from tidegate.core.legacy_products.enablement_status import (
    Seen,
    ServingState,
    VersionStatus,
    aliases,
    model_state,
    version_statuses,
)

READY, PENDING, FAILED = ServingState.READY, ServingState.PENDING, ServingState.FAILED


def seen(one: Endpoint, *revisions: Revision) -> Seen:
    """An endpoint with these revisions, of which those that are ready have a replica."""
    known = {revision.id: revision for revision in revisions}
    observed = {rid: an_observation(known[rid], ReplicaState.READY) for rid in known if known[rid].state is S.READY}
    return Seen(one, project(one, known, observed), known)


def of(one: Endpoint, *states: S) -> Seen:
    """An endpoint whose configurations, active, pending and failed, have revisions in these states."""
    attempts = (one.pending, one.failed)
    configs = [one.active, *(attempt.config if attempt else None for attempt in attempts)]
    entities = [each.served_entities[0] for each in configs if each is not None]
    pairs = zip(entities, states, strict=True)
    return seen(one, *(a_revision(one, entity, state, generation=0) for entity, state in pairs))


def short(statuses: Sequence[VersionStatus]) -> list[tuple[str, str, ServingState]]:
    return [(status.version, status.stage, status.state) for status in statuses]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([], []),
        ([of(endpoint("Production", 1), S.READY)], [("1", "Production", READY)]),
        ([of(endpoint("Production", None, 1), S.PREPARING)], [("1", "Production", PENDING)]),
        ([of(endpoint("Production", None, 1), S.STARTING)], [("1", "Production", ServingState.LAUNCHING)]),
        ([of(endpoint("Production", None, 1), S.FAILED)], [("1", "Production", ServingState.RETRY_REQUESTED)]),
        ([of(endpoint("Production", None, failed=1), S.FAILED)], [("1", "Production", FAILED)]),
        (
            [of(endpoint("Production", 1, 2), S.READY, S.PREPARING)],
            [("1", "Production", READY), ("2", "Production", PENDING)],
        ),
        (
            [of(endpoint("Production", 1, failed=2), S.READY, S.FAILED)],
            [("1", "Production", READY), ("2", "Production", FAILED)],
        ),
        (  # what answers comes before what is to
            [of(endpoint("Production", 1, 2), S.READY, S.PREPARING), of(endpoint("2", 2), S.READY)],
            [("1", "Production", READY), ("2", "", READY)],
        ),
        (  # a stage comes before a version of its own
            [of(endpoint("2", 2), S.READY), of(endpoint("Production", 2), S.READY)],
            [("2", "Production", READY)],
        ),
        ([of(endpoint("10", 10), S.READY), of(endpoint("9", 9), S.READY)], [("9", "", READY), ("10", "", READY)]),
        ([of(endpoint("Production", 1), S.RETIRED)], [("1", "Production", PENDING)]),
    ],
)
def test_each_version_has_one_state(there: list[Seen], expected: list[tuple[str, str, ServingState]]) -> None:
    assert short(version_statuses(SERVERLESS, there)) == expected


def test_a_version_whose_replica_is_gone_is_pending() -> None:
    one = endpoint("Production", 1)
    assert one.active is not None
    revision = a_revision(one, one.active.served_entities[0], S.READY)
    status = project(one, {revision.id: revision}, {revision.id: an_observation(revision)})
    (found,) = version_statuses(SERVERLESS, [Seen(one, status, {revision.id: revision})])
    assert (found.state, found.message) == (PENDING, "A replica is being started again.")


ASKED = SERVERLESS.with_compute("Production", "Large", False, 5.0)
LARGE = config("Production", 1, Compute("Production", "Large"), number=2)


@pytest.mark.parametrize(
    ("one", "states", "update"),
    [
        (endpoint("Production", 1), [S.READY], PENDING),
        (
            replace(endpoint("Production", 1), pending=PendingConfig(LARGE, 1.0)),
            [S.READY, S.STARTING],
            ServingState.LAUNCHING,
        ),
    ],
    ids=["waits", "is on its way"],
)
def test_an_update_of_what_a_version_uses(one: Endpoint, states: list[S], update: ServingState) -> None:
    (found,) = version_statuses(ASKED, [of(one, *states)])
    assert found.update is not None
    assert (found.state, found.compute.version, found.update.state) == (READY, 0, update)
    assert (found.update.compute.version, found.update.compute.workload_size_id) == (1, "Large")


def test_an_update_that_failed_says_why_and_one_that_is_done_is_none() -> None:
    given = ASKED.with_given(ASKED.compute("Production"))
    failed = replace(endpoint("Production", 1), failed=FailedConfig(LARGE, "There is no room."))
    (found,) = version_statuses(given, [of(failed, S.READY, S.FAILED)])
    assert found.update is not None
    assert (found.update.state, found.update.message) == (FAILED, "There is no room.")
    (found,) = version_statuses(given, [of(replace(endpoint("Production", 1), active=LARGE), S.READY)])
    assert (found.update, found.compute.version) == (None, 1)


@pytest.mark.parametrize(
    ("there", "state", "sentence"),
    [
        ([], PENDING, "No version of the model is served yet."),
        ([of(endpoint("1", 1), S.READY)], READY, ""),
        (
            [of(endpoint("1", 1), S.READY), of(endpoint("2", None, failed=2), S.FAILED)],
            READY,
            "Version 2: It does not load.",
        ),
        (
            [of(endpoint("1", None, 1), S.PREPARING), of(endpoint("2", None, failed=2), S.FAILED)],
            PENDING,
            "Version 2: It does not load.",
        ),
        ([of(endpoint("2", None, failed=2), S.FAILED)], FAILED, "Version 2: It does not load."),
        (
            [of(endpoint("Production", 1, failed=2), S.READY, S.FAILED), of(endpoint("2", 2), S.READY)],
            READY,
            "Production is still version 1. Version 2: It does not load.",
        ),
        (
            [of(replace(endpoint("Production", 1), failed=FailedConfig(LARGE, "No room.")), S.READY, S.FAILED)],
            READY,
            "",  # an update of what it uses
        ),
    ],
)
def test_a_model_is_what_its_versions_are(there: list[Seen], state: ServingState, sentence: str) -> None:
    assert model_state(version_statuses(SERVERLESS, there)) == (state, sentence)


def test_a_stage_means_what_answers_for_it_or_is_the_first_to() -> None:
    there = [
        of(endpoint("Staging", None, 3), S.PREPARING),
        of(endpoint("Production", 1, 2), S.READY, S.PREPARING),
        of(endpoint("4", 4), S.READY),
    ]
    assert aliases(there) == (("Production", "1"), ("Staging", "3"))
