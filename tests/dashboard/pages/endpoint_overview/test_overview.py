"""The overview of an endpoint, and its parts."""

import json
import re
from dataclasses import replace

import pytest

from tests.core.examples import PROOF, a_config, an_endpoint, rid
from tests.dashboard.web_house import WebHouse
from tidegate.control.endpoints.endpoint_views import EndpointView, RunningView
from tidegate.core.endpoint.endpoint import FailedConfig
from tidegate.core.endpoint.revision import Proof
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.endpoint.status import ConfigUpdate, Deployment, EndpointStatus, EntityStatus, Ready
from tidegate.core.planes.account import Account
from tidegate.core.rollout.switch import Side, Switch
from tidegate.core.series.series_point import STEPS, SeriesPoint
from tidegate.dashboard.pages.endpoint_overview.diagnosis_words import STEP_TEXTS
from tidegate.dashboard.pages.endpoint_overview.overview_parts import (
    MOST_MARKS,
    Serving,
    goes,
    ledger_values,
    marks,
    saving,
    serving,
    tile_values,
)
from tidegate.ports import Event
from tidegate.settings import DashboardSettings

SWITCH = Switch(
    "id", 50.0, "anna", None, Side(2, {"wine": ModelVersion("wine", "7")}), json.dumps({"verdict": "passed"})
)


def test_the_bar_shows_the_mean_of_each_step() -> None:
    found = goes(SeriesPoint(0.0, 60.0, stepped=10, steps=(1.0, 0.0, 0.0, 3.0, 0.0, 0.0)))
    assert found is not None
    assert [(part.label, part.value, round(part.share, 9)) for part in found.bar][::3] == [
        ("queue", 0.1, 0.25),
        ("predict", 0.3, 0.75),
    ]
    assert goes(SeriesPoint(0.0, 60.0)) is None
    assert tuple(STEP_TEXTS) == STEPS


def test_the_tiles_say_how_long_their_time_is() -> None:
    def span(lately: SeriesPoint) -> str:
        return tile_values(lately, lately, RunningView(1, 1, 1, 4), lately)["span"]

    assert (span(SeriesPoint(0.0, 300.0)), span(SeriesPoint(240.0, 60.0))) == ("5 min", "60 s")


def test_the_ledger_balances_while_nothing_is_counted_twice() -> None:
    good = Account(accepted=10, answered=5, rejected=1, timed_out=1, client_gone=1, lost=1)
    assert ledger_values(good)["ledger/under_way"] == "1"
    assert ledger_values(good)["ledger/verdict"] == "balances"
    assert ledger_values(good._replace(accepted=8))["ledger/verdict"] == "does not balance"


def test_a_switch_is_marked_with_version_author_and_verdict() -> None:
    found = marks(
        [SWITCH], [Event("id", 60.0, "evicted", "It made room."), Event("id", 61.0, "scaled", "x")], 0.0, 100.0
    )
    assert [(mark.kind, mark.text) for mark in found] == [
        ("switch", "Configuration 2 (wine/7) serves. By anna. It passed the gate."),
        ("eviction", "It made room."),
    ]
    assert marks([SWITCH], [], 60.0, 100.0) == ()


@pytest.mark.parametrize("report", ["", "{", "[]", '{"verdict": ["x"]}', "null", '"x"'])
def test_a_report_of_any_shape_makes_no_mark_fail(report: str) -> None:
    odd = Switch("id", 50.0, "", None, SWITCH.after, report)
    assert marks([odd], [], 0.0, 100.0)[0].text == "Configuration 2 (wine/7) serves."


def test_only_the_newest_marks_are_drawn() -> None:
    events = [Event("id", float(number), "evicted", str(number)) for number in range(100)]
    found = marks([], events, 0.0, 100.0)
    assert (len(found), found[-1].text) == (MOST_MARKS, "99")


def test_sleeping_saves_the_usual_memory_of_a_replica() -> None:
    awake = SeriesPoint(0.0, 3600.0, ready=2.0, memory_bytes=4e9)
    asleep = SeriesPoint(3600.0, 7200.0)
    found = saving([awake, asleep], 0, DashboardSettings(gb_hour_price=0.5, currency="EUR"))
    assert found is not None
    assert (found.asleep_seconds, found.gb_hours, found.money) == (7200.0, 4.0, "2.00 EUR")
    without = saving([awake, asleep], 0, DashboardSettings())
    assert without is not None and without.money == ""
    unknown = saving([asleep], 0, DashboardSettings())
    assert unknown is not None and unknown.gb_hours is None
    assert saving([awake, asleep], 1, DashboardSettings()) is None
    assert saving([awake], 0, DashboardSettings()) is None


def test_how_it_serves_has_the_reasons_of_the_trials() -> None:
    config = a_config()
    endpoint = an_endpoint(active=config)
    proof = Proof("none", batching={"mode": "off", "reason": "row 3 differs"}, start={"mode": "fork", "reason": ""})
    one = rid(endpoint, config.served_entities[0])

    def shown(proof: Proof | None) -> tuple[Serving, ...]:
        entities = {one: EntityStatus(Deployment.READY, "", proof)}
        return serving(EndpointView(endpoint, EndpointStatus(Ready.READY, ConfigUpdate.NOT_UPDATING, "", entities, 1)))

    assert shown(proof)[0].batching == "Each request is predicted by itself."
    assert (shown(proof)[0].batching_why, shown(proof)[0].start) == (
        "row 3 differs",
        "Replicas are forked from a warm template.",
    )
    assert "has not been tried yet" in shown(PROOF)[0].batching
    assert "has not been tried yet" in shown(None)[0].start


async def test_the_page_says_how_it_stands_and_draws_the_charts(web: WebHouse) -> None:
    await web.ready("wine")
    page = await web.text("/endpoints/wine")
    assert "Healthy: " in page
    assert page.count("<figure") >= 12
    assert page.count('class="line s') >= 20
    assert "0 accepted" in re.sub(r"<[^>]+>", "", page)
    assert "style=" not in page


async def test_an_endpoint_without_requests_says_so_in_each_chart(web: WebHouse) -> None:
    await web.ready("idle")
    page = await web.text("/endpoints/idle")
    assert "Healthy: no request in the last 5 minutes" in page
    assert "Nothing was answered in this time. Choose a longer one" in page
    assert 'class="line' not in page


async def test_the_script_gets_the_charts_alone_with_their_data(web: WebHouse) -> None:
    await web.ready("wine")
    part = (await web.http.get("/endpoints/wine?range=15m", headers={"hx-request": "true"})).text
    assert "<html" not in part
    data = re.search(r'<script type="application/json" id="chart-data">(.*?)</script>', part, re.DOTALL)
    assert data is not None
    assert len(json.loads(data[1])["x"]) == 180
    assert re.search(r'data-stream="/live/endpoints/wine\?range=15m&amp;after=\d+"', part)


async def test_a_version_can_be_chosen_where_there_are_several(web: WebHouse) -> None:
    await web.ready("wine")
    assert 'name="entity"' not in await web.text("/endpoints/wine")
    web.series.entities_of["wine"] = ("wine-1", "<b>wine-2</b>")
    page = await web.text("/endpoints/wine?entity=wine-1")
    assert "<option selected>wine-1</option>" in page
    assert "&lt;b&gt;wine-2" in page
    assert "<b>wine-2" not in page


async def test_the_points_come_as_csv(web: WebHouse) -> None:
    await web.ready("wine")
    answer = await web.http.get("/endpoints/wine/series.csv?chart=latency&range=24h")
    rows = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="wine-latency.csv"'
    assert rows[0].startswith("time,seconds,Latency: min (ms)")
    assert len(rows) == 289
    assert (await web.http.get("/endpoints/none/series.csv")).status_code == 404
    odd = await web.http.get("/endpoints/wine/series.csv", params={"chart": "日"})  # a header has no such letter
    assert odd.headers["content-disposition"] == 'attachment; filename="wine-series.csv"'


async def test_hostile_text_stays_text(web: WebHouse) -> None:
    await web.ready("wine")
    hostile = "</script><script>alert(1)</script>\ud800"  # the last is no text
    endpoint = (await web.house.endpoints.get("wine")).endpoint
    failed = FailedConfig(a_config(version=2), hostile, "{}")
    await web.house.store.save_endpoint(replace(endpoint, failed=failed))
    await web.house.store.add_event(Event(endpoint.id, web.house.clock.now() - 30, "evicted", hostile))
    page = await web.text("/endpoints/wine")
    assert "<script>alert" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
