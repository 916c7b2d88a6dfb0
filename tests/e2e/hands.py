"""A person's two ways to use a page: by mouse, and by keyboard alone."""

from typing import Protocol

from playwright.sync_api import Locator, Page

# A page has fewer stops of the Tab key than this.
_MOST_STOPS = 400


class Hands(Protocol):
    """What a person does to what he or she sees."""

    def press(self, what: Locator) -> None:
        """Follow a link, push a button, or tick a box."""
        ...

    def fill(self, field: Locator, text: str) -> None:
        """Write a text in place of a field's own."""
        ...

    def choose(self, select: Locator, value: str) -> None:
        """Choose the option of this value in a list."""
        ...


class Mouse:
    """Clicks; it types where a field is clicked."""

    def press(self, what: Locator) -> None:
        """Click it."""
        what.click()

    def fill(self, field: Locator, text: str) -> None:
        """Click, select what is there, and type."""
        field.click()
        field.press("Control+a")
        field.press_sequentially(text)

    def choose(self, select: Locator, value: str) -> None:
        """Choose it as a click in the list would, which the browser draws outside of the page."""
        select.select_option(value)


class Keys:
    """Knows Tab, Enter, Space, arrows and letters; what Tab does not reach is not there."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def press(self, what: Locator) -> None:
        """Go there, and press Enter; Space for a box."""
        self._reach(what)
        self._page.keyboard.press("Space" if what.get_attribute("type") == "checkbox" else "Enter")

    def fill(self, field: Locator, text: str) -> None:
        """Go there, select what is there, and type."""
        self._reach(field)
        self._page.keyboard.press("Control+a")
        self._page.keyboard.type(text)

    def choose(self, select: Locator, value: str) -> None:
        """Go there, and press the arrow until the option is chosen."""
        self._reach(select)
        self._page.keyboard.press("Home")
        for _ in range(select.locator("option").count()):
            if select.input_value() == value:
                return
            self._page.keyboard.press("ArrowDown")
        assert select.input_value() == value, f"the arrow keys do not reach the option {value}"

    def _reach(self, what: Locator) -> None:
        what.wait_for()
        for _ in range(_MOST_STOPS):
            if what.evaluate("element => element === document.activeElement && element.matches(':focus-visible')"):
                return
            self._page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {what}")
