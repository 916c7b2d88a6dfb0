"""The dashboard as a person uses it, in a browser on a whole platform: by mouse, and by keyboard alone."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.dashboard_walk import Walk, register_versions
from tests.e2e.hands import Hands, Keys, Mouse
from tests.e2e.running_platform import Platform
from tests.services.certificate import self_signed
from tests.services.chromium import chromium
from tests.services.nginx import nginx_server
from tests.services.process import free_port
from tests.services.watched_page import watched_page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MODEL = "walk"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    with chromium() as running:
        yield running


@dataclass(frozen=True)
class Place:
    """Where a browser finds a platform: the address of its pages, and what the browser is told to open it with."""

    platform: Platform
    url: str
    options: Mapping[str, bool] = field(default_factory=dict)


@pytest.fixture(scope="module")
def inside(house: Platform) -> tuple[Place, dict[str, Any]]:
    """The shared platform, asked directly; with a request for the walk's model."""
    return Place(house, house.url), register_versions(house, MODEL)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, dict[str, Any]]]:
    """A platform below a path, behind an nginx with TLS that names another host; with a request for the model."""
    folder, port, upstream = tmp_path_factory.mktemp("outside"), free_port(), free_port()
    certificate, key = self_signed(folder)
    public_url = f"https://127.0.0.1:{port}/ml/tidegate"
    server = (
        f"listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};"
        f"location /ml/tidegate/ {{ proxy_pass http://127.0.0.1:{upstream}/; proxy_http_version 1.1;"
        "proxy_set_header Host inside.example; }"
    )
    running = Platform(folder / "data", environment={"TIDEGATE_SERVER__PUBLIC_URL": public_url})
    with nginx_server(server):
        try:
            running.start(port=upstream)
            place = Place(running, public_url, {"ignore_https_errors": True})
            yield place, register_versions(running, MODEL)
        finally:
            running.stop()


def by_mouse(_: Page) -> Hands:
    """A mouse, and a keyboard for texts."""
    return Mouse()


HANDS = pytest.mark.parametrize("hands", [by_mouse, Keys], ids=["mouse", "keys"])


def walk_everywhere(place: Place, request: dict[str, Any], browser: Browser, hands: Callable[[Page], Hands]) -> None:
    """All that a person does, from the log-in to the log-out."""
    with watched_page(browser, place.url, **place.options) as page:
        walk = Walk(page, hands(page), place.platform, place.url, MODEL, request)
        walk.log_in()
        walk.launch()
        walk.ask()
        with contextlib.ExitStack() as loads:
            for load in walk.load():
                loads.enter_context(load)
            walk.watch()
            walk.read_a_failing_build()
            walk.promote()
            walk.be_held_back_and_force()
            walk.roll_back()
        walk.split_the_traffic()
        walk.delete()
        walk.log_out()


def test_all_is_done_by_keyboard_alone(inside: tuple[Place, dict[str, Any]], browser: Browser) -> None:
    walk_everywhere(*inside, browser, Keys)


def test_a_model_is_launched_and_deleted_by_mouse(inside: tuple[Place, dict[str, Any]], browser: Browser) -> None:
    place, request = inside
    with watched_page(browser, place.url) as page:
        walk = Walk(page, Mouse(), place.platform, place.url, MODEL, request)
        walk.log_in()
        walk.launch()
        walk.ask()
        walk.delete()
        walk.log_out()


@pytest.mark.acceptance
def test_all_is_done_by_mouse(inside: tuple[Place, dict[str, Any]], browser: Browser) -> None:
    walk_everywhere(*inside, browser, by_mouse)


@pytest.mark.acceptance
@pytest.mark.timeout(600)
@HANDS
def test_all_is_done_below_a_path_behind_tls_and_another_host(
    outside: tuple[Place, dict[str, Any]], browser: Browser, hands: Callable[[Page], Hands]
) -> None:
    walk_everywhere(*outside, browser, hands)


def test_a_session_that_ends_inside_a_page_leads_to_the_log_in(house: Platform, browser: Browser) -> None:
    with watched_page(browser, house.url) as page:
        for look in ("/", "/models"):  # one with a stream, and one that asks only when its reader does something
            page.goto(f"{house.url}/login?next={look}")
            page.get_by_label("Token").fill(house.token)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("button", name="Log out")).to_be_visible()
            end_session(house, page)
            if look != "/":
                page.get_by_label("Find", exact=True).fill("wine")
            expect(page).to_have_title("Log in · Tidegate", timeout=15_000)
            assert f"next={look}" in page.url


def end_session(house: Platform, page: Page) -> None:
    """Log out, in another window."""
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    answer = httpx.post(f"{house.url}/logout", cookies=cookies, headers={"origin": house.url})
    assert answer.status_code == 303
