"""The list of endpoints."""

import pytest

from tests.core.examples import a_config, an_endpoint
from tests.dashboard.web_house import WebHouse
from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.core.endpoint.endpoint import FailedConfig
from tidegate.core.endpoint.status import ConfigUpdate, EndpointStatus, Ready
from tidegate.core.series.series_point import SeriesPoint
from tidegate.dashboard.pages.endpoint_list import PAGE, Choice, choice_of, endpoint_list, sparkline


def a_view(name: str, replicas: int = 1, failed: str = "", report: str = "") -> EndpointView:
    endpoint = an_endpoint(
        name, active=a_config(), failed=FailedConfig(a_config(version=2), failed, report) if failed else None
    )
    update = ConfigUpdate.UPDATE_FAILED if failed else ConfigUpdate.NOT_UPDATING
    return EndpointView(endpoint, EndpointStatus(Ready.READY, update, failed, {}, replicas))


VIEWS = [a_view("apple"), a_view("pear", replicas=0), a_view("plum", failed="The build failed.")]
FLEET = {
    "pear": SeriesPoint(0.0, 60.0, statuses={200: 600}),
    "apple": SeriesPoint(0.0, 60.0, statuses={200: 54, 500: 6}),
}


def test_the_busiest_endpoint_is_first_and_those_that_need_somebody_are_told() -> None:
    found = endpoint_list(VIEWS, FLEET, {}, Choice())
    assert [row.name for row in found.rows] == ["pear", "apple", "plum"]
    assert [(row.name, row.need) for row in found.needs] == [("plum", "The last update failed. The build failed.")]
    assert (found.asleep, found.everything, found.total.requests) == (1, 3, 660)


def test_a_held_back_version_is_told_as_that() -> None:
    found = endpoint_list([a_view("fig", failed="The gate holds it back: 4 errors.", report="{}")], {}, {}, Choice())
    assert found.needs[0].need == "A new version is held back. The gate holds it back: 4 errors."


@pytest.mark.parametrize(
    ("sort", "order"), [("name", ["apple", "pear", "plum"]), ("errors", ["apple", "pear", "plum"])]
)
def test_the_list_is_sorted_as_asked_for(sort: str, order: list[str]) -> None:
    assert [row.name for row in endpoint_list(VIEWS, FLEET, {}, Choice(sort=sort)).rows] == order


def test_a_page_has_fifty_rows_of_those_that_were_found() -> None:
    views = [a_view(f"e{number:03d}") for number in range(120)] + VIEWS
    found = endpoint_list(views, {}, {}, Choice(find="E0", sort="name", page=2))
    assert (len(found.rows), found.rows[0].name, found.found, found.pages) == (PAGE, "e050", 100, 2)
    assert endpoint_list(views, {}, {}, Choice(state="asleep")).found == 1


def test_a_choice_that_makes_no_sense_is_the_usual_one() -> None:
    assert choice_of({"sort": "x", "state": "<b>", "page": "-1"}) == Choice()
    assert choice_of({"page": "9" * 400}) == Choice()
    assert Choice(find="a b").query(page=2) == "find=a+b&page=2"


def test_a_sparkline_fills_its_picture() -> None:
    assert sparkline([0.0, 10.0, 5.0]) == "0.0,23.0 55.0,1.0 110.0,12.0"
    assert sparkline([0.0, 0.0]) == ""


async def test_the_page_shows_each_endpoint_and_finds_it(web: WebHouse) -> None:
    assert "No endpoint yet" in await web.text("/")
    await web.ready("wine", "iris")
    page = await web.text("/")
    assert page.index("/endpoints/wine") < page.index("/endpoints/iris")
    assert "/endpoints/iris" not in await web.text("/?find=win")
    assert "/endpoints/wine" in await web.text("/find?q=wi")


async def test_htmx_gets_the_rows_alone(web: WebHouse) -> None:
    await web.ready("wine")
    rows = (await web.http.get("/?find=w", headers={"hx-request": "true"})).text
    assert "<html" not in rows
    assert "/endpoints/wine" in rows


async def test_every_page_has_the_policy_and_no_script_or_style_of_its_own(web: WebHouse) -> None:
    await web.ready("wine")
    answer = await web.http.get("/")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "style=" not in answer.text
    assert " onclick" not in answer.text
    missing = await web.http.get("/nowhere")
    assert (missing.status_code, "There is no page at this address." in missing.text) == (404, True)
    assert missing.headers["content-security-policy"] == answer.headers["content-security-policy"]
