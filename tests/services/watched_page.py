"""A page of a browser that fails its test for what its script or policy complains of, and for what leaves its host."""

import contextlib
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request

# Answers that a page expects, such as a 404 that a test asks for, are a line of Chromium's own in the console.
_EXPECTED = "Failed to load resource"


class Watch:
    """Notes what the pages of a context complain of. `host` is the URL of the one server that they may ask."""

    def __init__(self, context: BrowserContext, host: str) -> None:
        self._host = host
        self._said: list[str] = []
        context.on("request", self._request)
        context.on("console", self._console)
        context.on("weberror", lambda error: self._said.append(str(error.error)))
        context.on("dialog", self._dialog)

    def holds(self) -> None:
        """Assert that nothing was complained of since the last time."""
        said, self._said = self._said, []
        assert said == []

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._host, "data:")):
            self._said.append(f"asked {request.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_EXPECTED):
            self._said.append(message.text)

    def _dialog(self, dialog: Dialog) -> None:
        self._said.append(f"a script runs: {dialog.message}")
        dialog.dismiss()


@contextlib.contextmanager
def watched_page(browser: Browser, host: str, **options: Any) -> Iterator[Page]:
    """An empty page in a context of its own, with Playwright's `options`. A complaint fails the `with` at its end."""
    context = browser.new_context(base_url=host, **options)
    watch = Watch(context, host)
    try:
        yield context.new_page()
    finally:
        context.close()
    watch.holds()
