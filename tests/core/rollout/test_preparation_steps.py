"""The steps of a preparation, as they follow from what is on record and what was seen."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.core.examples import a_config, an_endpoint
from tidegate.core.endpoint.endpoint import FailedConfig, PendingConfig
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Environment, EnvironmentDigest, Revision, RevisionId
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion, ServedEntity
from tidegate.core.rollout.preparation_steps import (
    Attempt,
    Outcome,
    Span,
    Step,
    StepState,
    attempt_of,
    steps_of,
)

ENTITY = ServedEntity("wine", ModelRef("wine", "@champion"), ModelVersion("wine", "3"))
ENVIRONMENT = Environment(EnvironmentDigest("e"), "python", "overlay")
NOW = 200.0
S = StepState
DOWNLOAD, BUILD = {Step.DOWNLOAD: Span(100.0, 103.0)}, {Step.ENVIRONMENT: Span(103.0, 150.0)}
PREPARED = {**DOWNLOAD, **BUILD}
LOADED = {**PREPARED, Step.REPLICA: Span(150.0, 160.0), Step.EXAMPLE: Span(160.0)}


def steps(
    outcome: Outcome, state: RevisionState | None, spans: Mapping[Step, Span], environment: Environment | None = None
) -> list[tuple[StepState, float | None]]:
    revision = None
    if state is not None:
        revision = Revision(RevisionId("r"), "id", "wine", ENTITY, 1, state, environment=environment)
    found = steps_of(Attempt(a_config(), outcome, "It broke."), ENTITY, revision, None, spans, NOW)
    assert [one.step for one in found] == list(Step)
    assert found[0].note == "@champion is version 3 of wine"
    assert all(one.note == "It broke." for one in found if one.state is S.FAILED)
    return [(one.state, one.seconds) for one in found[1:]]


WAIT = (S.WAITING, None)


@pytest.mark.parametrize(
    ("state", "spans", "expected"),
    [
        (None, {}, [WAIT] * 5),
        (RevisionState.PENDING, {}, [WAIT] * 5),
        (RevisionState.PREPARING, {Step.DOWNLOAD: Span(190.0)}, [(S.RUNNING, 10.0), *[WAIT] * 4]),
        (
            RevisionState.PREPARING,
            {**DOWNLOAD, Step.ENVIRONMENT: Span(103.0)},
            [(S.DONE, 3.0), (S.RUNNING, 97.0), *[WAIT] * 3],
        ),
        (RevisionState.STARTING, PREPARED, [(S.DONE, 3.0), (S.DONE, 47.0), (S.RUNNING, None), WAIT, WAIT]),
        (RevisionState.STARTING, LOADED, [(S.DONE, 3.0), (S.DONE, 47.0), (S.DONE, 10.0), (S.RUNNING, 40.0), WAIT]),
        (RevisionState.STARTING, {}, [(S.DONE, None), (S.DONE, None), (S.RUNNING, None), WAIT, WAIT]),
        (RevisionState.READY, {Step.SERVES: Span(198.0)}, [*[(S.DONE, None)] * 4, (S.RUNNING, 2.0)]),
    ],
)
def test_what_runs_is_the_step_that_began_last(
    state: RevisionState | None, spans: Mapping[Step, Span], expected: list[tuple[StepState, float | None]]
) -> None:
    assert steps(Outcome.RUNNING, state, spans) == expected


@pytest.mark.parametrize(
    ("spans", "environment", "failed"),
    [
        (DOWNLOAD, None, Step.DOWNLOAD),
        (PREPARED, None, Step.ENVIRONMENT),
        ({}, None, Step.ENVIRONMENT),
        (PREPARED, ENVIRONMENT, Step.REPLICA),
        (LOADED, ENVIRONMENT, Step.EXAMPLE),
    ],
)
def test_what_has_failed_is_the_step_that_began_last(
    spans: Mapping[Step, Span], environment: Environment | None, failed: Step
) -> None:
    found = steps(Outcome.FAILED, RevisionState.FAILED, spans, environment)
    states = dict(zip(list(Step)[1:], (state for state, _ in found), strict=True))
    assert [step for step, state in states.items() if state is S.FAILED] == [failed]
    assert all(
        state is S.WAITING for step, state in states.items() if list(Step).index(step) > list(Step).index(failed)
    )


def test_an_attempt_that_is_over_has_no_step_that_runs() -> None:
    assert [state for state, _ in steps(Outcome.SERVES, RevisionState.READY, {})] == [S.DONE] * 5
    assert [state for state, _ in steps(Outcome.HELD_BACK, RevisionState.RETIRED, {})] == [*[S.DONE] * 4, S.FAILED]
    other = steps(Outcome.FAILED, RevisionState.RETIRED, {**PREPARED, Step.REPLICA: Span(150.0)})
    assert [state for state, _ in other] == [S.DONE, S.DONE, *[S.WAITING] * 3]


def test_the_newest_attempt_counts() -> None:
    serving, second = a_config(), a_config(version=2)
    endpoint = an_endpoint(active=serving)
    assert attempt_of(endpoint).outcome is Outcome.SERVES
    held = replace(endpoint, failed=FailedConfig(second, "Four errors.", "{}"))
    assert attempt_of(held) == Attempt(second, Outcome.HELD_BACK, "Four errors.")
    failed = replace(endpoint, failed=FailedConfig(second, "No version."))
    assert attempt_of(failed).outcome is Outcome.FAILED
    again = replace(failed, pending=PendingConfig(second, 7.0))
    assert attempt_of(again) == Attempt(second, Outcome.RUNNING, began_at=7.0)
