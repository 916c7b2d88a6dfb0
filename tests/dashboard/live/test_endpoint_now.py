"""The event stream of an endpoint's overview."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.control.house import an_entity
from tests.dashboard.web_house import WebHouse
from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.control.series.series import COMES_IN
from tidegate.dashboard.live.endpoint_now import REFRESH_TICKS, EndpointNow
from tidegate.dashboard.pages.endpoint_overview.situations import Situations
from tidegate.dashboard.pages.endpoint_overview.time_range import time_range


def events(message: bytes) -> Mapping[str, Any]:
    """The events of a message by name."""
    found = (block.split("\n") for block in message.decode().strip().split("\n\n") if block.strip())
    return {name.removeprefix("event: "): json.loads(data.removeprefix("data: ")) for name, data in found}


@pytest.fixture
async def now(web: WebHouse) -> EndpointNow:
    await web.ready("wine")
    return EndpointNow(web.site.sources, Situations(web.site.sources))


async def test_the_first_message_has_all_values_and_later_ones_what_changed(web: WebHouse, now: EndpointNow) -> None:
    chosen = time_range({}, web.house.clock.now())
    compose = now.messages("wine", chosen, web.house.clock.now())
    values = events(await compose(1))["values"]
    assert values["state"] == "ready"
    assert values["ledger/verdict"] == "balances"
    assert values["diagnosis"].startswith("Healthy: ")
    assert await compose(2) == b""
    await web.house.endpoints.delete("wine")
    await web.house.until(lambda: now._sources.endpoints.known("wine") is None)
    assert events(await compose(3))["values"] == {"state": "deleted"}


async def test_new_points_come_once_each_to_a_short_range(web: WebHouse, now: EndpointNow) -> None:
    clock = web.house.clock
    chosen = time_range({"range": "5m"}, clock.now())
    compose = now.messages("wine", chosen, chosen.until - 3)
    first = events(await compose(1))["points"]
    assert [row["at"] for row in first] == [chosen.until - 2, chosen.until - 1]
    assert "points" not in events(await compose(2))
    clock.advance(1.0)
    assert [row["at"] for row in events(await compose(3))["points"]] == [chosen.until]
    assert "points" not in events(await now.messages("wine", time_range({}, clock.now()), 0.0)(4))


async def test_a_second_whose_reports_may_come_yet_is_not_shown(web: WebHouse, now: EndpointNow) -> None:
    clock, ends = web.house.clock, list[float]()
    for part in range(30):
        clock.advance(0.1)
        chosen = time_range({"range": "5m"}, clock.now())
        rows = events(await now.messages("wine", chosen, clock.now() - 10)(part)).get("points", [])
        ends.append(max([chosen.until, *(row["at"] + 1 for row in rows)]) - clock.now())
    assert max(ends) <= -COMES_IN


async def test_a_reader_who_was_away_gets_no_more_than_a_quarter_of_an_hour(web: WebHouse, now: EndpointNow) -> None:
    chosen = time_range({"range": "15m"}, web.house.clock.now())
    assert len(events(await now.messages("wine", chosen, 0.0)(1))["points"]) <= 180


async def test_readers_of_the_same_share_the_work(web: WebHouse, now: EndpointNow) -> None:
    clock, asked = web.house.clock, 0
    points = web.series.points

    async def counted(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return await points(*arguments)

    web.series.points = counted  # type: ignore[method-assign, assignment]
    chosen = time_range({"range": "5m"}, clock.now())
    readers = [now.messages("wine", chosen, chosen.until - 2) for _ in range(50)]
    for compose in readers:
        await compose(1)
    assert asked <= 5


async def test_the_charts_are_made_anew_once_a_minute(web: WebHouse, now: EndpointNow) -> None:
    compose = now.messages("wine", time_range({}, web.house.clock.now()), 0.0)
    messages = [await compose(tick) for tick in range(REFRESH_TICKS)]
    assert events(messages[-1])["refresh"] == ["charts"]
    assert not any("refresh" in events(message) for message in messages[:-1])


async def test_a_part_is_made_anew_when_what_it_is_made_by_changes(web: WebHouse, now: EndpointNow) -> None:
    compose = now.messages("wine", time_range({}, web.house.clock.now()), 0.0)
    assert "refresh" not in events(await compose(1))
    await web.house.endpoints.update_config("wine", ConfigRequest((an_entity("2"),)))
    await web.house.until(lambda: _version(web) == "2")
    web.house.clock.advance(1.0)
    refreshed = events(await compose(2))["refresh"]
    assert "head" in refreshed
    assert "v2" in (await web.http.get("/endpoints/wine/head")).text


def _version(web: WebHouse) -> str:
    view = web.house.endpoints.known("wine")
    assert view is not None and view.endpoint.active is not None
    return view.endpoint.active.served_entities[0].resolved.version


async def test_the_stream_of_no_endpoint_is_not_found(web: WebHouse) -> None:
    assert (await web.http.get("/live/endpoints/none")).status_code == 404
