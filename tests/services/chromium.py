"""A headless Chromium, driven by Playwright."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.services.programs import CHROMIUM, environ

# Chromium has no sandbox for root. The other flags keep it from making connections of its own to the internet.
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with an empty profile. No other event loop can run in its thread meanwhile."""
    program = CHROMIUM.program("chromium")
    variables = dict[str, str | float | bool](environ(program))
    with _libraries_of(program), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS, env=variables)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def _libraries_of(program: Path) -> Iterator[None]:
    """Playwright's driver inherits our variables; it needs a library that may be unpacked beside the browser."""
    before = dict(os.environ)
    os.environ.update(environ(program))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
