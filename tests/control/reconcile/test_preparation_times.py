"""When each step of a preparation began and ended."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest_asyncio

from tests.control.house import House, a_house, until
from tests.fakes.clock import FakeClock
from tidegate.control.reconcile.preparation_times import PreparationTimes
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import (
    Address,
    Environment,
    EnvironmentDigest,
    Replica,
    ReplicaId,
    ReplicaState,
    Revision,
    RevisionId,
    RevisionObservation,
    RevisionTarget,
)
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion, ServedEntity
from tidegate.core.rollout.preparation_steps import Span, Step

RID = RevisionId("r")
ENTITY = ServedEntity("wine-1", ModelRef("wine", "1"), ModelVersion("wine", "1"))
REVISION = Revision(RID, "id", "wine", ENTITY, 1, RevisionState.STARTING, 100.0)
TARGET = RevisionTarget(RID, "wine", "wine-1", "/m", Environment(EnvironmentDigest("e"), "p", "o"), 1, 1, 1, 60.0)


def replica(state: ReplicaState = ReplicaState.STARTING, loaded_at: float = 0.0, ready_at: float = 0.0) -> Replica:
    address = Address("/r", "s")
    return Replica(ReplicaId("a"), state, address, 1, 101.0, loaded_at=loaded_at, ready_at=ready_at)


def look(
    times: PreparationTimes, state: RevisionState, *replicas: Replica, failed: int = 0, failed_loaded_at: float = 0.0
) -> None:
    observation = RevisionObservation(TARGET, replicas, failed, failed_loaded_at=failed_loaded_at)
    since = 100.0 if state is RevisionState.STARTING else 109.0
    times.look({RID: replace(REVISION, state=state, state_since=since)}, {RID: observation})


def test_a_replica_loads_and_then_answers_its_example() -> None:
    times = PreparationTimes(FakeClock())
    look(times, RevisionState.STARTING, replica())
    assert times.spans(RID) == {Step.REPLICA: Span(100.0)}
    look(times, RevisionState.STARTING, replica(loaded_at=105.0))
    assert times.spans(RID) == {Step.REPLICA: Span(100.0, 105.0), Step.EXAMPLE: Span(105.0)}
    look(times, RevisionState.READY, replica(ReplicaState.READY, 105.0, 107.0))
    assert times.spans(RID) == {Step.REPLICA: Span(100.0, 105.0), Step.EXAMPLE: Span(105.0, 107.0)}
    look(times, RevisionState.READY)  # it sleeps
    assert times.spans(RID)[Step.EXAMPLE] == Span(105.0, 107.0)


def test_another_replica_begins_again_and_the_last_failure_says_in_which_step() -> None:
    times = PreparationTimes(FakeClock())
    look(times, RevisionState.STARTING, replica(loaded_at=102.0))
    look(times, RevisionState.STARTING, replica(), failed=1, failed_loaded_at=102.0)
    assert times.spans(RID) == {Step.REPLICA: Span(100.0)}
    look(times, RevisionState.STARTING, failed=2, failed_loaded_at=106.0)
    assert times.spans(RID) == {Step.REPLICA: Span(100.0, 106.0), Step.EXAMPLE: Span(106.0)}
    times.look({RID: replace(REVISION, state=RevisionState.FAILED, state_since=109.0)}, {})
    assert times.spans(RID)[Step.EXAMPLE] == Span(106.0, 109.0)


def test_what_is_usual_is_known_after_some_and_nothing_is_kept_of_what_is_gone() -> None:
    clock = FakeClock()
    times = PreparationTimes(clock)
    for seconds in (2.0, 4.0, 9.0):
        assert Step.DOWNLOAD not in times.usual()
        times.begin(RID, Step.DOWNLOAD)
        clock.advance(seconds)
        times.begin(RID, Step.ENVIRONMENT)
        times.end(RID, failed=True)
    assert times.usual() == {Step.DOWNLOAD: 4.0}
    times.look({}, {})
    assert times.spans(RID) == {}


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path / "data") as house:
        yield house


async def test_download_and_environment_are_timed_by_the_build_itself(house: House) -> None:
    house.builder.gate.clear()
    await house.create()
    await house.passes(2)
    (rid,) = house.control.world.snapshot.revisions
    await until(lambda: Step.ENVIRONMENT in house.builds.times.spans(rid))
    house.clock.advance(30.0)
    house.builder.gate.set()
    await house.settle()
    spans = house.builds.times.spans(rid)
    assert list(spans) == [Step.DOWNLOAD, Step.ENVIRONMENT, Step.REPLICA]
    environment = spans[Step.ENVIRONMENT]
    assert environment.ended is not None
    assert 30.0 <= environment.ended - environment.began < 40.0
    assert all(span.ended is not None for span in spans.values())
