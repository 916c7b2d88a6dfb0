"""The frame of an endpoint's pages."""

from dataclasses import replace

from tests.core.examples import a_config, an_endpoint, an_entity
from tests.dashboard.web_house import WebHouse
from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.core.endpoint.endpoint import ROLLBACK, Endpoint, ParkedConfig, PendingConfig, Route
from tidegate.core.endpoint.status import ConfigUpdate, EndpointStatus, Ready
from tidegate.dashboard.pages.endpoint.endpoint_frame import (
    TABS,
    Frame,
    Share,
    WayBack,
    frame_of,
    frame_values,
    path_of,
)

ONE, TWO = a_config(), a_config(an_entity(version="2", name="wine-2"), version=2)


def shown(endpoint: Endpoint, kept_until: float | None = None) -> Frame:
    status = EndpointStatus(Ready.READY, ConfigUpdate.NOT_UPDATING, "", {}, 1)
    return frame_of(EndpointView(endpoint, status), kept_until, 100.0)


def test_the_frame_says_what_serves_with_its_shares() -> None:
    split = a_config(
        an_entity(), an_entity(version="2", name="wine-2"), routes=(Route("wine-1", 90), Route("wine-2", 10))
    )
    found = shown(an_endpoint(active=split))
    assert (found.version, found.state, found.path) == ("v1 90 %, v2 10 %", "ready", "/endpoints/wine")
    assert found.shares == (Share("wine-1", "1", 90), Share("wine-2", "2", 10))


def test_a_rollback_says_what_serves_then_and_how_long_it_is_immediate() -> None:
    endpoint = an_endpoint(active=TWO, previous=ParkedConfig(ONE, 50.0))
    found = shown(endpoint, 592.9)
    assert found.back == WayBack("v1", left=492.9)
    assert frame_values(found) == {"state": "ready", "version": "v2", "left": "8:12"}
    assert shown(endpoint).back == WayBack("v1")


def test_an_update_under_way_can_be_taken_back_and_a_rollback_cannot() -> None:
    updating = an_endpoint(active=ONE, pending=PendingConfig(TWO, 1.0))
    assert shown(updating).back == WayBack("v1", takes_back=True)
    assert shown(replace(updating, pending=PendingConfig(TWO, 1.0, ROLLBACK))).back is None
    assert shown(an_endpoint(pending=PendingConfig(ONE, 1.0))).back is None
    assert shown(an_endpoint(active=ONE)).back is None


def test_a_path_holds_any_name() -> None:
    assert path_of("a/b?c") == "/endpoints/a%2Fb%3Fc"


async def test_the_page_has_the_tabs_and_the_actions(web: WebHouse) -> None:
    await web.ready("wine")
    page = await web.text("/endpoints/wine")
    assert page.count('aria-current="page"') == 2  # of the navigation, and of the tabs
    assert all(f'href="/endpoints/wine{below}"' in page for below in TABS.values())
    assert "Roll back" not in page
    missing = await web.http.get("/endpoints/none")
    assert (missing.status_code, "There is no endpoint" in missing.text) == (404, True)
