"""The pages in a real browser: axe finds nothing, the policy holds, nothing leaves the machine, keys are enough."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page
from starlette.routing import Route

from tests.dashboard.every_page import PAGES, RATES, Shown, left_out, scene
from tests.dashboard.house_in_thread import HouseInThread, house_in_thread
from tests.dashboard.stories import HOSTILE
from tests.services.axe import violations
from tests.services.chromium import chromium
from tests.services.watched_page import Watch, watched_page
from tidegate.core.endpoint.gate_policy import GatePolicy
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
    """An empty page. What its script or its policy complains of fails the test; so does a request to elsewhere."""
    with watched_page(browser, house.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(browser: Browser, house: HouseInThread) -> Iterator[tuple[Page, Watch]]:
    """One page for the many tests that only look."""
    context = browser.new_context(base_url=house.url)
    watch = Watch(context, house.url)
    yield context.new_page(), watch
    context.close()


@pytest.fixture
def looking(shared: tuple[Page, Watch]) -> Iterator[Page]:
    """The page that only looks; it is watched as the others are."""
    opened, watch = shared
    yield opened
    watch.holds()


def eventually(holds: Callable[[], object]) -> None:
    """Wait until something holds, for 10 s at most."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# A wide table may be scrolled. One that folds into a card for each row has nothing out of sight.
_CUT_OFF = """[...document.querySelectorAll(".scroll:has(> table.folds)")]
    .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.getAttribute("aria-label"))"""


def looks_well(page: Page, shown: Shown, looks: Sequence[tuple[Literal["light", "dark"], int]]) -> None:
    """Assert that axe finds nothing on a page, and that nothing of it stands out on the side."""
    shown.open(page)
    for scheme, width in looks:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        assert violations(page) == [], (scheme, width)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"the page is {overflow} px too wide at {width}"
        if width < 640:
            assert page.evaluate(_CUT_OFF) == [], "tables that fold on a phone are cut off there"


@pytest.mark.parametrize("shown", PAGES, ids=str)
def test_axe_finds_nothing_and_the_policy_holds(looking: Page, shown: Shown) -> None:
    is_variant = bool(shown.opens) or "?" in shown.path
    looks_well(looking, shown, LOOKS[1:2] if is_variant else LOOKS[:2])


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_axe_finds_nothing_in_any_look(looking: Page) -> None:
    for shown in PAGES:
        looks_well(looking, shown, LOOKS)
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


def test_a_page_without_a_stream_is_neither_live_nor_paused(page: Page) -> None:
    page.goto("/models")
    page.wait_for_load_state("load")
    assert not page.locator("[data-live-state]").is_visible()


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
    page.get_by_role("button", name="Theme").click()
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


def test_a_chart_that_was_empty_is_drawn_when_its_first_requests_come(page: Page, house: HouseInThread) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "hx-request" in request.headers else None)
    page.goto("/endpoints/sleepy?range=5m")
    page.get_by_text("live", exact=True).wait_for()
    requests = page.locator("[data-chart]").first
    assert requests.locator("canvas").count() == 0
    house.web.series.rates["sleepy"] = 50.0
    house.web.house.clock.advance(5)
    requests.locator("canvas").wait_for()
    for _ in range(3):
        house.web.house.clock.advance(1)
        page.wait_for_timeout(300)
    house.web.series.rates["sleepy"] = 0.0
    assert len([url for url in asked if "range=5m" in url]) == 1


HOSTILE_PAGES = {
    "/endpoints/split": 1,
    "/endpoints/split/settings": 3,
    "/endpoints/held-back/rollouts": 1,
    "/endpoints/held-back/rollouts/failed": 2,
    "/models/wine": 0,
}
"""Pages with hostile texts of others, and how often stories.HOSTILE is to be read on each at least."""


@pytest.mark.parametrize("path", HOSTILE_PAGES)
def test_hostile_texts_stay_text(looking: Page, path: str) -> None:
    looking.goto(path)
    text = looking.locator("main").inner_text()
    assert text.count("<script>alert('x')</script> </pre>{{ 7 * 7 }}") >= HOSTILE_PAGES[path]
    assert "<script>alert(" in text
    assert "\u202e" not in text


def test_hostile_lines_of_a_growing_log_stay_text(looking: Page, house: HouseInThread) -> None:
    looking.goto("/endpoints/wine/logs?kind=build")
    looking.get_by_text("live", exact=True).wait_for()
    for path in (house.web.house.data.logs / "builds").iterdir():
        with path.open("a") as file:
            file.write(f"{HOSTILE}<img src=x onerror=alert(1)>\n")
    looking.get_by_text("<img src=x onerror=alert(1)>").wait_for()
    assert looking.locator("#log img, #log script").count() == 0


def test_a_hostile_answer_of_a_model_stays_text(page: Page) -> None:
    page.route("**/invocations", lambda route: route.fulfill(body=json.dumps({"predictions": [HOSTILE]})))
    page.goto("/endpoints/wine/query")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("region", name="The answer's body").get_by_text("<script>alert('x')</script>").wait_for()


def test_a_part_that_cannot_be_read_says_so_and_the_old_one_stays(page: Page) -> None:
    page.goto("/")
    page.route("**/?find=*", lambda route: route.fulfill(status=503, body="<p>away</p>"))
    page.get_by_label("Find", exact=True).fill("wine")
    page.get_by_role("alert").get_by_text("the server answered 503").wait_for()
    assert page.locator("#endpoints tbody tr").count() > 1
    page.unroute("**/?find=*")
    page.get_by_label("Find", exact=True).fill("iris")
    eventually(lambda: page.locator("tbody tr").count() == 1 and page.locator("#part-failed").count() == 0)


def test_a_part_that_is_refused_as_the_session_has_ended_leads_to_the_whole_page(page: Page) -> None:
    page.goto("/")
    page.route("**/?find=*", lambda route: route.fulfill(status=401, body="{}"))
    with page.expect_navigation():
        page.get_by_label("Find", exact=True).fill("wine")
    page.unroute("**/?find=*")


def _plots(page: Page) -> int:
    return page.locator("#charts canvas").count()


def test_all_charts_share_a_zoom_and_the_way_back(page: Page) -> None:
    page.goto("/endpoints/wine?range=6h")
    eventually(lambda: _plots(page) >= 8)
    latency = page.locator("[data-chart=latency] .u-over")
    latency.scroll_into_view_if_needed()
    box = latency.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 60, steps=4)
    page.mouse.up()
    back = page.get_by_role("link", name="Back to now")
    back.wait_for()
    assert "from=" in page.url
    eventually(lambda: _plots(page) >= 8)
    page.go_back()
    page.locator('#range-6h[aria-current="true"]').wait_for()


def test_a_short_range_grows_point_by_point(page: Page, house: HouseInThread) -> None:
    page.goto("/endpoints/wine?range=5m")
    page.get_by_text("live", exact=True).wait_for()
    newest = page.locator("[data-chart=requests] [data-line='2xx']")
    house.web.series.rates["wine"] = 900.0
    house.web.house.clock.advance(5.0)
    eventually(lambda: float(newest.inner_text()) > 400)
    house.web.series.rates["wine"] = 42.0


def test_what_happened_is_marked_on_the_charts_by_keys_too(page: Page, house: HouseInThread) -> None:
    house.web.house.clock.advance(120.0)
    page.goto("/endpoints/held-back")
    page.locator("[data-mark] a").first.focus()
    page.locator("[data-mark].pointed").wait_for()
    page.keyboard.press("Tab")
    eventually(lambda: page.locator("[data-mark='0'].pointed").count() == 0)


def test_a_form_that_is_being_filled_in_is_kept_while_the_page_is_read_anew(page: Page, house: HouseInThread) -> None:
    page.goto("/endpoints/split/rollouts")
    page.get_by_text("live", exact=True).wait_for()
    share = page.get_by_label("Share of wine-1, per cent")
    share.fill("60")
    house.run(house.web.house.endpoints.set_gate("split", GatePolicy(record=False)))
    house.run(house.web.house.update("3", "split"))
    page.get_by_role("heading", name="On its way: v3").wait_for()
    assert share.input_value() == "60"
    assert page.get_by_text("The shares add up to 70 %, not to 100.").is_visible()
    page.get_by_role("button", name="Take it back").first.click()
    page.keyboard.press("Enter")
    page.get_by_text("The update was taken back. What served goes on.").wait_for()


def test_the_query_tester_keeps_all_digits_and_shows_where_the_time_went(page: Page) -> None:
    answer = '{"predictions":[9007199254740993]}'
    timing = "queue;dur=1, wait;dur=0, decode;dur=0, predict;dur=6, encode;dur=0, total;dur=10"
    page.route("**/invocations", lambda route: route.fulfill(body=answer, headers={"server-timing": timing}))
    page.goto("/endpoints/example/query")
    page.get_by_text("Fill in a form: one row").click()
    page.get_by_label("acidity").fill("0.10")
    page.get_by_role("button", name="Write it as the request").click()
    assert '"acidity": 0.10,' in page.get_by_label("JSON").input_value()
    assert '"year": 9007199254740993,' in page.get_by_label("JSON").input_value()
    page.get_by_role("button", name="Send").click()
    page.get_by_role("region", name="The answer's body").get_by_text("9007199254740993").wait_for()
    bar = page.get_by_role("img", name="queue 1.0 ms")
    assert bar.locator("rect").nth(3).get_attribute("width") == "600"
