"""What is known of an endpoint at the moment, gathered for all who look at it."""

from typing import Any

import pytest

from tests.control.house import an_entity
from tests.dashboard.busy_endpoints import add_busy_endpoints
from tests.dashboard.web_house import WebHouse
from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.rollout.switch import Side, Switch
from tidegate.core.series.series_point import SeriesPoint
from tidegate.dashboard.pages.endpoint_overview.situations import Situations, whole, why_text
from tidegate.ports import Event


@pytest.fixture
def asked(web: WebHouse) -> list[tuple[Any, ...]]:
    """The questions to the series."""
    questions: list[tuple[Any, ...]] = []
    points = web.series.points

    async def counted(*arguments: Any) -> Any:
        questions.append(arguments)
        return await points(*arguments)

    web.series.points = counted  # type: ignore[method-assign, assignment]
    return questions


async def test_a_slow_version_is_found_by_the_minutes_before_its_switch(web: WebHouse) -> None:
    await add_busy_endpoints(web)
    situations = Situations(web.site.sources)
    said = {
        name: (await situations.of(await web.house.endpoints.get(name))).findings[0].sentence
        for name in ("slow", "failing", "restarted")
    }
    assert "before version 7 took over 12 min ago" in said["slow"]
    assert "Predict takes 31" in said["slow"]
    assert said["failing"].startswith("12 % of the requests of the last 5 minutes failed")
    assert said["restarted"].startswith("Healthy: ")


@pytest.mark.parametrize(("ago", "step"), [(100.0, 5.0), (1000.0, 60.0)])
async def test_the_time_before_a_switch_has_no_request_from_after_it(
    web: WebHouse, asked: list[tuple[Any, ...]], ago: float, step: float
) -> None:
    await web.ready("wine")
    web.house.clock.advance(7200.0 - web.house.clock.now() % 60.0 + 17.0)
    view = await web.house.endpoints.get("wine")
    at = web.house.clock.now() - ago
    old, new = (Side(number, {"wine": ModelVersion("wine", str(number))}) for number in (1, 2))
    await web.house.store.save_endpoint(view.endpoint, Switch(view.endpoint.id, at, "anna", old, new))
    await Situations(web.site.sources).of(view)
    assert (at - 600.0, at // step * step, step) in [(since, until, width) for _, since, until, width in asked]


async def test_what_came_since_a_switch_is_told_apart(web: WebHouse) -> None:
    await web.ready("wine")
    web.series.rates["wine"] = 40.0
    web.house.clock.advance(7200.0)
    view = await web.house.endpoints.get("wine")
    old, new = (Side(number, {"wine": ModelVersion("wine", str(number))}) for number in (1, 2))
    switch = Switch(view.endpoint.id, web.house.clock.now() - 100.0, "anna", old, new)
    await web.house.store.save_endpoint(view.endpoint, switch)
    seen = (await Situations(web.site.sources).of(view)).situation
    assert seen.since_switch is not None
    assert seen.since_switch.seconds < 100.0 < seen.recent.seconds
    assert seen.lately == seen.since_switch


async def test_a_look_is_shared_for_seconds_and_its_past_for_a_minute(
    web: WebHouse, asked: list[tuple[Any, ...]]
) -> None:
    await web.ready("wine")
    web.house.clock.advance(7200.0)
    situations, view = Situations(web.site.sources), await web.house.endpoints.get("wine")
    await situations.of(view)
    first = len(asked)
    await situations.of(view)
    assert len(asked) == first
    web.house.clock.advance(6.0)
    await situations.of(view)
    assert len(asked) == first + 1
    web.house.clock.advance(60.0)
    await situations.of(view)
    assert len(asked) == 2 * first + 1


async def test_a_changed_endpoint_is_looked_at_again_at_once(web: WebHouse) -> None:
    await web.ready("wine")
    situations = Situations(web.site.sources)
    assert not (await situations.of(await web.house.endpoints.get("wine"))).situation.pending
    await web.house.endpoints.update_config("wine", ConfigRequest((an_entity("2"),)))
    assert (await situations.of(await web.house.endpoints.get("wine"))).situation.pending == "v2"


async def test_a_full_machine_is_told_for_a_while(web: WebHouse) -> None:
    await web.ready("wine")
    view = await web.house.endpoints.get("wine")
    await web.house.store.add_event(
        Event(view.endpoint.id, web.house.clock.now(), "no_capacity", "There is no memory.")
    )
    assert (await Situations(web.site.sources).of(view)).situation.no_room == "There is no memory."
    web.house.clock.advance(1000.0)
    assert (await Situations(web.site.sources).of(view)).situation.no_room == ""


def test_reasons_are_a_sentence() -> None:
    assert why_text({}) == ""
    assert why_text({"wine-1": "no request for 60 s"}) == "No request for 60 s."
    assert why_text({"b": "y", "a": "x"}) == "a: x; b: y."


def test_the_sum_of_points_has_all_of_them() -> None:
    assert whole([]) is None
    total = whole([SeriesPoint(0.0, 5.0, statuses={200: 1}), SeriesPoint(5.0, 5.0, statuses={200: 2})])
    assert total is not None
    assert (total.seconds, total.requests) == (10.0, 3)
