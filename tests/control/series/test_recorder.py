"""What the recorder keeps of gateways' reports, over minutes, hours, restarts and clocks that jump."""

import logging
from dataclasses import replace

import pytest

from tests.control.series.scene import MINUTE, V1, FakeGateway, Scene, answered, by_time
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.errors import Unavailable
from tidegate.core.planes.latency_cells import CELL_BOUNDS
from tidegate.core.series.latency_histogram import quantile

pytestmark = pytest.mark.timeout(60)


async def test_each_second_has_what_came_in_it() -> None:
    scene = Scene()
    await scene.second(2)
    began = int(scene.clock.now())
    for count in (3, 0, 5):
        scene.gateways[0].answer(count) if count else None
        await scene.second()
    await scene.second(2)
    assert by_time(await scene.points(1.0)) == {began: 3, began + 2: 5}
    found = [point for point in await scene.points(1.0) if point.at >= began]
    assert [point.answered for point in found][:3] == [3, 0, 5]
    assert {point.seconds for point in found} == {1.0}
    assert (found[0].accepted, found[0].requests) == (3, 3)
    assert found[0].steps[3] == pytest.approx(3 * CELL_BOUNDS[300], abs=1e-5)
    assert quantile(found[0].latency, 0.5) == pytest.approx(CELL_BOUNDS[300], rel=0.03)
    assert answered(await scene.points(5.0)) == answered(await scene.points(60.0)) == 8


async def test_reports_at_the_edge_of_a_second_make_even_seconds() -> None:
    """A report that comes at x.99 and the next at x+2.01 tell of two seconds, not of none and of two at once."""
    scene = Scene(1_700_000_040.0)
    for place in range(40):
        scene.gateways[0].answer(10)
        scene.clock._now = 1_700_000_041.0 + place + (0.02 if place % 2 else -0.02)
        scene.clock._monotonic = place + (0.02 if place % 2 else -0.02) + 1.0
        scene.report(scene.gateways[0])
        await scene.recorder.run_once()
    scene.clock.advance(3)
    counts = [point.answered for point in await scene.points(1.0)]
    assert set(counts[5:35]) == {10}


async def test_several_gateways_add_up_and_their_versions_stay_apart() -> None:
    scene = Scene()
    scene.gateways.append(FakeGateway(1, "two"))
    await scene.second(3)
    for _ in range(70):
        scene.gateways[0].answer(2)
        scene.gateways[1].answer(3, cell=500, entity="wine-2")
        await scene.second()
    await scene.second(2)
    for step in (1.0, 60.0):
        assert answered(await scene.points(step)) == 70 * 5
        assert answered(await scene.points(step, entity="wine-2")) == 70 * 3
    now = scene.clock.now()
    assert await scene.series.entities("wine", now - 300, now) == [V1, "wine-2"]


async def test_minutes_are_stored_and_read_again() -> None:
    scene = Scene()
    await scene.second(2)
    await scene.serve(200, 4)
    stored = [minute for (_, minute) in scene.store._tail]  # type: ignore[attr-defined]
    assert len(set(stored)) >= 3
    points = await scene.points(60.0, 600.0)
    assert answered(points) == 800
    assert max(point.answered for point in points) == 240
    assert all(point.at % 60 == 0 and point.seconds == 60.0 for point in points)


async def test_hours_are_packed_and_nothing_is_lost_or_made() -> None:
    scene = Scene()
    await scene.second(2)
    for _ in range(150):  # minutes
        scene.gateways[0].answer(7)
        await scene.second()
        scene.clock.advance(59.0)
        scene.report(scene.gateways[0])
        for _ in range(3):
            await scene.recorder.run_once()
    assert scene.store._hours  # type: ignore[attr-defined]
    for step in (60.0, 300.0, 900.0, 1800.0):
        assert answered(await scene.points(step, 4 * 3600.0)) == 1050, step
    oldest = await scene.store.oldest()
    assert len(await scene.store.quarters("wine", 0, 10**6)) >= 1
    assert oldest


async def test_a_restart_of_control_is_one_gap_and_loses_no_count() -> None:
    for killed in (False, True):
        scene = Scene()
        await scene.second(2)
        await scene.serve(90, 10)
        went = scene.clock.now()
        await scene.restart(killed=killed)
        scene.gateways[0].answer(55)
        scene.clock.advance(30.0)
        scene.report(scene.gateways[0])
        await scene.recorder.run_once()
        await scene.serve(20, 10)
        await scene.second(2)
        points = await scene.points(1.0, 600.0)
        gaps = [point for point in points if point.gap]
        assert len(gaps) == 1
        [gap] = gaps
        assert (gap.answered >= 55) == (killed or gap.answered == 55)
        assert gap.at <= went + 1
        assert 29.0 <= gap.seconds <= 95.0
        for step in (60.0, 300.0):
            assert answered(await scene.points(step, 600.0)) == 900 + 55 + 200, (killed, step)


@pytest.mark.parametrize("killed", [False, True])
async def test_the_gap_of_a_restart_is_no_longer_than_control_was_away(killed: bool) -> None:
    """However long nobody has used anything before."""
    scene = Scene()
    await scene.second(2)
    await scene.serve(5, 10)
    await scene.second(600)
    went = scene.clock.now()
    await scene.restart(killed=killed)
    scene.gateways[0].answer(55)
    scene.clock.advance(30.0)
    scene.report(scene.gateways[0])
    await scene.recorder.run_once()
    await scene.second(3)
    [gap] = [point for point in await scene.points(60.0, 900.0) if point.gap]
    assert (gap.answered, answered(await scene.points(60.0, 900.0))) == (55, 105)
    assert went - 75.0 <= gap.at <= went + 1.0  # a minute is stored some seconds after its end


async def test_a_gateway_that_is_replaced_leaves_no_gap() -> None:
    scene = Scene()
    await scene.second(2)
    await scene.serve(10, 3)
    scene.gateways[0].pid = 2
    await scene.serve(10, 3)
    await scene.second(2)
    points = await scene.points(1.0)
    assert not any(point.gap for point in points)
    assert answered(points) == 60
    assert max(point.answered for point in points) == 3


async def test_a_ledger_that_was_begun_anew_is_counted_from_zero() -> None:
    scene = Scene()
    await scene.second(2)
    await scene.serve(10, 3)
    scene.gateways[0] = replace(scene.gateways[0], ledger="other", accounts={}, touched={})
    await scene.serve(10, 3)
    await scene.second(2)
    assert answered(await scene.points(1.0)) == 60


async def test_what_was_counted_before_the_first_start_is_not_told() -> None:
    scene = Scene()
    scene.gateways[0].answer(1000)
    await scene.second(2)
    await scene.serve(5, 1)
    await scene.second(2)
    assert answered(await scene.points(1.0)) == 5


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -30.0])
async def test_a_clock_that_jumps_loses_no_count_and_makes_none(jump: float) -> None:
    scene = Scene()
    await scene.second(2)
    await scene.serve(100, 2)
    scene.clock._now += jump
    await scene.serve(100, 2)
    await scene.second(90)
    now = scene.clock.now()
    found = await scene.series.points("wine", now - 3 * 3600, now + 3 * 3600, 60.0)
    scene.clock._now += 2 * 3600
    later = list(await scene.series.points("wine", now - 3 * 3600, now + 3 * 3600, 60.0))
    assert max(answered(list(found)), answered(later)) == 400
    assert max(point.answered for point in later) <= 240


async def test_an_endpoint_made_again_under_a_name_begins_without_the_old_ones_points() -> None:
    scene = Scene()
    await scene.second(2)
    await scene.serve(80, 2)
    made = scene.clock.now()
    scene.own(
        Endpoint("old", "wine", "admin", 1.0, 1.0, deleted_at=made),
        Endpoint("new", "wine", "admin", made, made),
    )
    await scene.serve(10, 1)
    await scene.second(2)
    assert answered(await scene.points(1.0)) == 10
    assert all(point.at >= made - 1 for point in await scene.points(1.0))


async def test_a_store_that_cannot_be_used_is_told_once_and_minutes_wait(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    await scene.second(2)
    scene.store.failure = Unavailable("The disk is full.")  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING):
        await scene.serve(200, 1)
    assert caplog.text.count("cannot be stored") == 1
    assert answered(await scene.points(1.0, 250.0)) == answered(await scene.points(60.0, 600.0)) == 200
    scene.store.failure = None  # type: ignore[attr-defined]
    await scene.second(2)
    assert not scene.recorder.shelf.pending
    assert answered(await scene.points(60.0, 600.0)) == 200


async def test_the_last_ten_seconds_the_last_minute_and_the_last_hour_come_from_memory() -> None:
    scene = Scene()
    await scene.second(2)
    await scene.serve(130, 3)
    scene.store.failure = Unavailable("not for these")  # type: ignore[attr-defined]
    now = scene.series.now("wine")
    assert (now.seconds, now.answered) == (10.0, 30)
    [(name, point)] = scene.series.fleet().items()
    assert (name, point.seconds) == ("wine", 60.0)
    assert point.answered == pytest.approx(180, abs=9)
    line = scene.series.sparkline("wine")
    assert len(line) == 60
    assert sum(line) * MINUTE == pytest.approx(118 * 3)  # of the two minutes that are over
    assert scene.series.now("milk").answered == 0
    assert sum(scene.series.sparkline("milk")) == 0


async def test_nothing_is_kept_of_endpoints_that_are_idle_for_long() -> None:
    scene = Scene()
    await scene.second(2)
    await scene.serve(5, 3)
    for _ in range(100):
        scene.clock.advance(MINUTE)
        scene.report(scene.gateways[0])
        await scene.recorder.run_once()
    assert not scene.recorder.tracks
    assert not scene.series.fleet()


async def test_damaged_blocks_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    await scene.second(2)
    await scene.serve(200, 1)
    tail = scene.store._tail  # type: ignore[attr-defined]
    damaged = min(tail)
    tail[damaged] = tail[damaged][:-3] + b"\0\0\0"
    with caplog.at_level(logging.WARNING):
        points = await scene.points(60.0, 600.0)
    assert 0 < len(points) <= 5
    assert answered(points) <= 200


async def test_a_time_from_long_ago_is_cut_to_what_is_kept() -> None:
    """The reader does not walk over all minutes since 1970."""
    scene = Scene()
    await scene.second(2)
    await scene.serve(5, 1)
    points = await scene.series.points("wine", 0.0, 1e12, 60.0)
    assert answered(list(points)) == 5
    assert len(points) == 1
    assert await scene.series.points("wine", 5.0, 5.0, 60.0) == ()
