"""The pages in a real browser: axe finds nothing, the policy holds, nothing leaves the machine, keys are enough."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page
from starlette.routing import Route

from tests.dashboard.every_page import PAGES, RATES, Shown, left_out, scene
from tests.dashboard.house_in_thread import HouseInThread, house_in_thread
from tests.services.axe import violations
from tests.services.chromium import chromium
from tidegate.dashboard.web_app import create_web_app

LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (
    ("light", 1280),
    ("dark", 390),
    ("dark", 1280),
    ("light", 390),
)
"""The first two have both schemes and both widths: enough for each test run."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseInThread]:
    """A dashboard with some endpoints."""
    with house_in_thread(tmp_path_factory.mktemp("web") / "data", RATES) as running:
        running.run(scene(running.web))
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, house: HouseInThread) -> Iterator[Page]:
    """An empty page of `a_page`."""
    with a_page(browser, house) as opened:
        yield opened


@contextlib.contextmanager
def a_page(browser: Browser, house: HouseInThread) -> Iterator[Page]:
    """An empty page. What its script or its policy complains of fails the test; so does a request to elsewhere."""
    said: list[str] = []
    context = browser.new_context(base_url=house.url)
    context.on("request", lambda request: said.append(request.url) if not _own(request.url, house.url) else None)
    opened = context.new_page()
    opened.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    context.close()
    assert [line for line in said if "404 (Not Found)" not in line] == []


def eventually(holds: Callable[[], object]) -> None:
    """Wait until something holds, for 10 s at most."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _own(url: str, house: str) -> bool:
    return url.startswith((house, "data:"))


def looks_well(page: Page, shown: Shown, looks: Sequence[tuple[Literal["light", "dark"], int]]) -> None:
    """Assert that axe finds nothing on a page, and that nothing of it stands out on the side."""
    shown.open(page)
    for scheme, width in looks:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        assert violations(page) == [], (scheme, width)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"the page is {overflow} px too wide at {width}"


@pytest.mark.parametrize("shown", PAGES, ids=str)
def test_axe_finds_nothing_and_the_policy_holds(page: Page, shown: Shown) -> None:
    looks_well(page, shown, LOOKS[:2])


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_axe_finds_nothing_in_any_look(browser: Browser, house: HouseInThread) -> None:
    for shown in PAGES:
        with a_page(browser, house) as page:
            looks_well(page, shown, LOOKS)
    print(f"FIGURE axe on {len(PAGES)} pages and dialogs, light and dark, at 390 and 1,280 px: 0 violations: met")


def test_every_route_is_visited(house: HouseInThread) -> None:
    assert left_out([route for route in create_web_app(house.web.site).routes if isinstance(route, Route)]) == []


def test_the_list_is_live_and_its_search_needs_no_button(page: Page, house: HouseInThread) -> None:
    page.goto("/")
    page.get_by_text("live", exact=True).wait_for()
    house.web.series.rates["wine"] = 5000.0
    rate = page.locator('[data-live="wine/rate"]')
    eventually(lambda: len(rate.inner_text()) > 3)
    house.web.series.rates["wine"] = 42.0
    page.get_by_label("Find", exact=True).fill("iri")
    eventually(lambda: page.locator("tbody tr").count() == 1)
    assert page.url.endswith("find=iri&state=&sort=requests")


def test_the_finder_is_opened_and_left_by_keys(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Control+k")
    page.keyboard.type("sleep")
    eventually(lambda: page.locator("#found a").all_inner_texts() == ["sleepy"])
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "sleepy"
    page.keyboard.press("Escape")
    assert not page.locator("#finder").is_visible()


def test_light_and_dark_are_kept(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Light or dark").click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_without_scripts_the_list_is_found_and_sorted(browser: Browser, house: HouseInThread) -> None:
    context = browser.new_context(base_url=house.url, java_script_enabled=False)
    opened = context.new_page()
    opened.goto("/")
    opened.get_by_label("Find", exact=True).fill("wine")
    opened.get_by_role("button", name="Show").click()
    assert opened.locator("tbody tr").count() == 1
    opened.get_by_role("link", name="Endpoint", exact=True).click()
    assert "sort=name" in opened.url
    context.close()
