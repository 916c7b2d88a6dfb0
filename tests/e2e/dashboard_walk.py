"""What a person does with the dashboard who never opens a terminal: the steps of a walk, by any hands, at any place."""

import re
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import register
from tests.e2e.hands import Hands
from tests.e2e.load import Load
from tests.e2e.running_platform import Platform

# The longest wait, milliseconds: for what an environment or a replica is made for, and for any other page.
_LONG, _USUAL = 120_000, 20_000
expect.set_options(timeout=_USUAL)
SAD = {"dataframe_records": [{"mood": "sad"}]}
VERSIONS = ("moody", "no_such_package", "moody", "picky")
"""What is registered as versions 1 to 4 of the walk's model: the second cannot be built, the fourth is held back."""


def register_versions(platform: Platform, model: str) -> dict[str, Any]:
    """Register the walk's model; returns a request that fits it."""
    requests = [register(platform, kind, model) for kind in VERSIONS]
    return requests[0]


@dataclass
class Walk:
    """A person on the way through the pages. `root` is the address of the dashboard's first page."""

    page: Page
    hands: Hands
    platform: Platform
    root: str
    model: str
    request: dict[str, Any]

    def log_in(self) -> None:
        """Open the dashboard, and be led to the log-in and back."""
        self.page.goto(f"{self.root}/models")
        expect(self.page).to_have_title("Log in · Tidegate")
        self.hands.fill(self.page.get_by_label("Token"), self.platform.token)
        self._press("Log in")
        expect(self._heading("Models")).to_be_visible()

    def launch(self) -> None:
        """From the list of models, by one click; the build page says when it serves."""
        self._follow(self.model)
        self.hands.press(self.page.get_by_role("row", name="Version 1").get_by_role("button"))
        expect(self._heading(re.compile("Steps of"))).to_be_visible()
        expect(self._heading(re.compile(r"Ready after \d"))).to_be_visible(timeout=_LONG)

    def ask(self) -> None:
        """The first answer, in the query tab, which a link of the build page leads to."""
        self._follow("Ask it now")
        self.hands.fill(self.page.get_by_label("JSON"), '{"dataframe_records": [{"mood": "fine"}]}')
        self._press("Send")
        expect(self.page.get_by_text("200 answered")).to_be_visible()
        expect(self.page.get_by_role("region", name="The answer's body")).to_contain_text('"fine"')
        expect(self.page.get_by_role("figure")).to_contain_text("predict")

    def load(self) -> tuple[Load, Load]:
        """Requests of two kinds, which the held-back version will be tried with."""
        return (
            Load(self.platform, self.model, self.request, rate=20),
            Load(self.platform, self.model, SAD, rate=20),
        )

    def watch(self) -> None:
        """The charts move while requests come."""
        self._tab("Overview")
        expect(self.page.get_by_text("live", exact=True)).to_be_visible()
        self._follow("5m")
        requests = self.page.locator("[data-chart]").first.locator("[data-line]").first
        expect(requests).to_have_text(re.compile(r"^[1-9]"))
        canvas = self.page.locator("[data-chart] canvas").first
        before = canvas.evaluate("canvas => canvas.toDataURL()")
        self.page.wait_for_function(
            "before => document.querySelector('[data-chart] canvas').toDataURL() !== before", arg=before
        )
        expect(self.page.get_by_text("balances", exact=True)).to_be_visible()

    def read_a_failing_build(self) -> None:
        """An update that cannot be built: what failed, its log, and that what served goes on."""
        self._update("2")
        expect(self._heading(re.compile("^Failed: "))).to_be_visible(timeout=_LONG)
        self._follow("Build log", self.page.get_by_role("region", name=re.compile("^Failed: ")))
        expect(self.page.get_by_role("log")).to_contain_text("tidegate-has-no-such-package")
        expect(self.page.get_by_role("alert").first).to_be_visible()

    def promote(self) -> None:
        """An update that serves; the page says so by itself."""
        self._update("3")
        expect(self._frame()).to_contain_text("v3", timeout=_LONG)

    def be_held_back_and_force(self) -> None:
        """A version that answers less is held back; its report says why; forced, it serves all the same."""
        self._update("4")
        expect(self._heading(re.compile("^Held back: "))).to_be_visible(timeout=_LONG)
        self._follow("Gate report")
        expect(self._heading(re.compile("^Gate report"))).to_be_visible()
        expect(self.page.get_by_text("no such mood: sad").first).to_be_visible()
        self._press("Force")
        self._press("Force", self.page.get_by_role("dialog"))
        expect(self._frame()).to_contain_text("v4", timeout=_LONG)

    def roll_back(self) -> None:
        """The version before serves again."""
        self._press(re.compile("^Roll back to "))
        self._press("Roll back", self.page.get_by_role("dialog"))
        expect(self._frame()).to_contain_text("v3", timeout=_LONG)

    def split_the_traffic(self) -> None:
        """A second version beside the first, and then more for it."""
        self._update("1", beside=10)
        expect(self._frame()).to_contain_text("10 %", timeout=_LONG)
        self._tab("Roll-outs")
        shares = self.page.get_by_role("spinbutton", name=re.compile("^Share of "))
        expect(shares).to_have_count(2)
        for share, text in zip(shares.all(), ("60", "40"), strict=True):
            self.hands.fill(share, text)
        self._press("Split the traffic")
        expect(self._frame()).to_contain_text("40 %", timeout=_LONG)

    def delete(self) -> None:
        """Its name has to be typed; then it is gone."""
        self._tab("Settings")
        self._press("Delete the endpoint")
        dialog = self.page.get_by_role("dialog")
        self.hands.fill(dialog.get_by_label("Type its name"), self.model)
        self._press("Delete", dialog)
        expect(self.page.get_by_role("status").get_by_text("was deleted")).to_be_visible()
        assert self.platform.score(self.model, self.request).status_code == 404

    def log_out(self) -> None:
        """The session ends."""
        self._press("Log out")
        expect(self.page).to_have_title("Log in · Tidegate")

    def _update(self, version: str, beside: int | None = None) -> None:
        self._follow("Update")
        self.hands.fill(self.page.get_by_label("Version, alias or stage"), version)
        if beside is not None:
            self.hands.choose(self.page.get_by_label("Place"), "beside")
            self.hands.fill(self.page.get_by_label("Share of the traffic, %"), str(beside))
        self._press("Update", self.page.get_by_role("main"))
        expect(self.page.get_by_text("The update has begun")).to_be_visible()

    def _tab(self, name: str) -> None:
        self.hands.press(
            self.page.get_by_role("navigation", name=self.model).get_by_role("link", name=name, exact=True)
        )
        self.page.wait_for_load_state()

    def _follow(self, link: str, within: "Locator | None" = None) -> None:
        self.hands.press((within or self.page).get_by_role("link", name=link, exact=True).first)

    def _press(self, button: "str | re.Pattern[str]", within: "Locator | None" = None) -> None:
        exact = isinstance(button, str)
        self.hands.press((within or self.page).get_by_role("button", name=button, exact=exact).first)

    def _heading(self, name: "str | re.Pattern[str]") -> Locator:
        return self.page.get_by_role("heading", name=name, exact=isinstance(name, str))

    def _frame(self) -> Locator:
        return self.page.locator("#head")
