"""Roll-outs in trouble: the last asked version serves in the end, and no request is lost. A smoke; more of it, and the
full size, are in `make acceptance ONLY=rollouts`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from bench.rollouts.far_registry import FarRegistry, far_registry
from bench.rollouts.faults import VERSIONS, Place, place, troubled
from bench.rollouts.house import house_of
from bench.rollouts.trouble import Trouble

from tests.e2e.running_platform import Platform, platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RATE = 60
# A registry elsewhere is asked every 2 s otherwise.
OFTEN = {"TIDEGATE_REGISTRY__POLL_SECONDS": "0.25"}


def endure(place: Place, happen: Callable[[Trouble], object]) -> None:
    """Let it happen under requests; each is answered, and by a version whose turn it was."""
    with troubled(place, RATE) as trouble:
        if not place.texts:
            trouble.learn(VERSIONS)
        happen(trouble)
    assert trouble.turns.stream.lost == {}
    assert trouble.turns.wrong() == []
    assert len(trouble.turns.stream.answers) > RATE


def test_control_is_killed_in_the_middle_of_a_rollout(house: Platform) -> None:
    def happen(trouble: Trouble) -> None:
        trouble.kill_control_after(0.0)
        trouble.kill_control_at("starting")

    endure(place(house_of(house)), happen)


@dataclass(frozen=True)
class Far:
    """A platform whose registry is elsewhere, behind a door. One endpoint on it."""

    place: Place
    registry: FarRegistry


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    folder = tmp_path_factory.mktemp("far") / "data"
    with (
        far_registry() as registry,
        platform(folder, "--registry-uri", registry.through_the_door, environment=OFTEN) as running,
    ):
        yield Far(place(house_of(running, registry.uri)), registry)


@pytest.mark.acceptance
def test_the_registry_is_away_while_versions_are_promoted(far: Far) -> None:
    def happen(trouble: Trouble) -> None:
        others = trouble.others()
        trouble.away(far.registry.door, 3.0, before=next(others), during=next(others))
        trouble.away(far.registry.door, 1.0, after=next(others))

    endure(far.place, happen)


@pytest.mark.acceptance
def test_the_registry_answers_slowly(far: Far) -> None:
    endure(far.place, lambda trouble: trouble.slow(far.registry.door, 1.0, next(trouble.others())))


@pytest.mark.acceptance
def test_two_promotions_in_a_row_and_one_during_a_build(far: Far) -> None:
    def happen(trouble: Trouble) -> None:
        trouble.two_in_a_row(0.0)
        trouble.two_in_a_row(0.3)
        far.place.house.register("stamped+six==1.17.0")
        trouble.during_a_build("4")

    endure(far.place, happen)
