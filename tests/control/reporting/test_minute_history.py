"""Minutes for the older products, of what gateways report."""

import pytest

from tests.control.series.scene import Scene
from tidegate.control.reporting.minute_history import MinuteHistory
from tidegate.core.scaling.minute import MinutePoint

MINUTE = 60.0


def history(scene: Scene) -> MinuteHistory:
    return MinuteHistory(scene.series, scene.clock, 4)


async def test_each_minute_has_what_came_in_it() -> None:
    scene = Scene()
    await scene.second(2)
    for count in (3, 0, 9):
        scene.gateways[0].answer(count) if count else None
        await scene.second(60)
    scene.gateways[0].answer(1)
    await scene.second()
    found = await history(scene).points("wine", 0.0, scene.clock.now())
    assert [point.requests for point in found] == [3, 0, 9, 1]
    assert [point.at % MINUTE for point in found] == [0.0] * 4
    assert found[1] == MinutePoint(found[1].at)
    assert found[0].p50_ms == found[0].p99_ms
    [one] = await history(scene).points("wine", found[2].at, found[2].at)
    assert one == found[2]


async def test_several_endpoints_are_told_together() -> None:
    scene = Scene()
    await scene.second(2)
    scene.gateways[0].answer(3)
    scene.gateways[0].answer(5, endpoint="tea")
    await scene.second(2)
    found = await history(scene).points_of(["tea", "wine", "milk"], 0.0, scene.clock.now())
    assert [[point.requests for point in own] for own in found] == [[5], [3], [0]]


async def test_what_came_while_control_was_away_is_in_the_minute_of_its_return() -> None:
    scene = Scene()
    await scene.second(2)
    await scene.serve(30, 2)
    await scene.restart()
    scene.gateways[0].answer(7)
    scene.clock.advance(300.0)
    scene.report(scene.gateways[0])
    await scene.recorder.run_once()
    found = await history(scene).points("wine", 0.0, scene.clock.now())
    first, later = (point for point in found if point.requests)
    assert (first.requests, later.requests) == (60, 7)
    assert scene.clock.now() - later.at < 2 * MINUTE
    assert len({point.at for point in found}) == len(found)
    assert later.p50_ms == pytest.approx(first.p50_ms)
