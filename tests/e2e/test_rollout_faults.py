"""Roll-outs in trouble: the last asked version serves in the end, and no request is lost. Small; the full size is in
`make acceptance ONLY=rollouts`.
"""

from collections.abc import Callable, Iterator

import pytest
from bench.rollouts.far_registry import FarRegistry, far_registry
from bench.rollouts.faults import VERSIONS, troubled
from bench.rollouts.house import House, house_of
from bench.rollouts.trouble import Trouble

from tests.e2e.running_platform import platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RATE = 60
Far = tuple[House, FarRegistry]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """A platform whose registry is elsewhere, behind a door."""
    folder = tmp_path_factory.mktemp("far") / "data"
    with far_registry() as registry, platform(folder, "--registry-uri", registry.through_the_door) as running:
        yield house_of(running, registry.uri), registry


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A platform with its own registry, whose control may be killed."""
    with platform(tmp_path_factory.mktemp("near") / "data") as running:
        yield house_of(running)


def endure(house: House, happen: Callable[[Trouble], object]) -> None:
    """Let it happen under requests; each is answered, and by a version whose turn it was."""
    with troubled(house, RATE) as trouble:
        trouble.learn(VERSIONS)
        happen(trouble)
    assert trouble.turns.stream.lost == {}
    assert trouble.turns.wrong() == []
    assert len(trouble.turns.stream.answers) > RATE


def test_the_registry_is_away_while_versions_are_promoted(far: Far) -> None:
    house, registry = far

    def happen(trouble: Trouble) -> None:
        others = trouble.others()
        trouble.away(registry.door, 3.0, before=next(others), during=next(others))
        trouble.away(registry.door, 1.0, after=next(others))

    endure(house, happen)


def test_the_registry_answers_slowly(far: Far) -> None:
    house, registry = far
    endure(house, lambda trouble: trouble.slow(registry.door, 1.0, next(trouble.others())))


def test_two_promotions_in_a_row_and_one_during_a_build(near: House) -> None:
    def happen(trouble: Trouble) -> None:
        trouble.two_in_a_row(0.0)
        trouble.two_in_a_row(0.3)
        near.register("stamped+six==1.17.0")
        trouble.during_a_build("4")

    endure(near, happen)


def test_control_is_killed_in_the_middle_of_a_rollout(near: House) -> None:
    def happen(trouble: Trouble) -> None:
        trouble.kill_control_after(0.0)
        trouble.kill_control_at("starting")

    endure(near, happen)
