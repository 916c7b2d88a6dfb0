"""The pictures of docs/dashboard.md, taken from a real platform: `python -m bench.dashboard.pictures`.

It starts a platform with the sample, launches some more models, one of which cannot be built and one whose new version
is held back, sends a small load, logs in by the page, and takes a picture of each page.
"""

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page
from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform
from tests.services.chromium import chromium

from bench import wrk
from bench.sample_platform import sample_platform

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LOAD_SECONDS = 100.0
COLOURS = 255
Scheme = Literal["light", "dark"]


def main() -> None:
    """Take all pictures."""
    with sample_platform() as sample, chromium() as browser:
        platform = sample.platform
        _scenes(platform)
        load = threading.Thread(target=_load, args=(platform, sample.body))
        load.start()
        try:
            time.sleep(LOAD_SECONDS * 0.7)
            _light(browser, platform)
            _others(browser, platform)
        finally:
            load.join()


def _scenes(platform: Platform) -> None:
    """Endpoints in the states that a platform has after a week."""
    register(platform, "tabular", "iris")
    platform.launch("iris", "iris", scale_to_zero_enabled=True)
    register(platform, "moody", "sentiment")
    platform.launch("sentiment", "sentiment")
    with platform.client() as client:
        for mood in ("fine", "sad") * 30:
            body = {"dataframe_records": [{"mood": mood}]}
            client.post("/serving-endpoints/sentiment/invocations", json=body).raise_for_status()
    register(platform, "picky", "sentiment")
    platform.update("sentiment", {"entity_name": "sentiment", "entity_version": "2"})
    register(platform, "no_such_package", "churn")
    with platform.client() as client:
        served = {"entity_name": "churn", "entity_version": "1"}
        client.post("/api/2.0/serving-endpoints", json={"name": "churn", "config": {"served_entities": [served]}})
    platform.settled("churn", expect=None)


def _load(platform: Platform, body: str) -> None:
    wrk.run(f"{platform.url}/serving-endpoints/wine/invocations", body, 2, LOAD_SECONDS, platform.token)


def _page(browser: Browser, platform: Platform, scheme: Scheme, width: int, height: int = 900) -> Page:
    """A page of somebody who has logged in."""
    context = browser.new_context(
        base_url=platform.url, color_scheme=scheme, viewport={"width": width, "height": height}, timezone_id="UTC"
    )
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("Token").fill(platform.token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")
    return page


def _light(browser: Browser, platform: Platform) -> None:
    page = _page(browser, platform, "light", 1280)

    def asked() -> None:
        page.get_by_role("button", name="Send").click()
        page.get_by_text("predictions").first.wait_for()

    shots: dict[str, tuple[str, Callable[[], None] | None]] = {
        "endpoints": ("/", None),
        "overview": ("/endpoints/wine?range=5m", None),
        "slow": ("/endpoints/wine/slow", None),
        "roll-outs": ("/endpoints/sentiment/rollouts", None),
        "gate-report": ("/endpoints/sentiment/rollouts/failed", None),
        "logs": ("/endpoints/churn/logs", None),
        "query": ("/endpoints/wine/query", asked),
        "settings": ("/endpoints/wine/settings", None),
        "update": ("/endpoints/wine/update", None),
        "models": ("/models", None),
        "model": ("/models/sentiment", None),
        "serving": ("/models/sentiment/serving", None),
        "build": ("/endpoints/churn/build", None),
        "platform": ("/platform", None),
    }
    for name, (path, then) in shots.items():
        page.goto(path)
        page.wait_for_timeout(3000)
        if then is not None:
            then()
        _save(page, name)
    page.context.close()
    door = browser.new_page(viewport={"width": 1280, "height": 620}, base_url=platform.url)
    door.goto("/login")
    _save(door, "log-in")
    door.close()


def _others(browser: Browser, platform: Platform) -> None:
    """The dark one, and the one of a phone."""
    dark = _page(browser, platform, "dark", 1280)
    dark.goto("/endpoints/wine?range=5m")
    dark.wait_for_timeout(3000)
    _save(dark, "overview-dark")
    dark.context.close()
    phone = _page(browser, platform, "light", 390, 844)
    phone.goto("/endpoints/wine?range=5m")
    phone.wait_for_timeout(3000)
    _save(phone, "phone", whole=False)
    phone.context.close()


def _save(page: Page, name: str, *, whole: bool = True) -> None:
    """Write a picture with few colours: pages have few."""
    page.evaluate("window.scrollTo(0, 0)")
    shot = Image.open(io.BytesIO(page.screenshot(full_page=whole, animations="disabled"))).convert("RGB")
    shot = shot.crop((0, 0, shot.width, min(shot.height, 2600)))
    file = IMAGES / f"dashboard-{name}.png"
    shot.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"FIGURE {file.name}: {file.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
