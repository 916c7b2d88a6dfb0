"""The live screen of `tidegate top`, driven by keys."""

import time
from collections.abc import Callable
from typing import Any, cast

from textual.widgets import DataTable, Static

from tidegate.cli.client import Client
from tidegate.cli.endpoint_view import Json
from tidegate.cli.failure import Unreachable
from tidegate.cli.top_screen import Details, TopScreen


def a_row(name: str, rate: float, p99: float | None = 3.0, **more: Any) -> Json:
    steps = {"queue": 1.0, "wait": 0.0, "decode": 0.5, "predict": 2.5, "encode": 0.0, "gateway": 1.0}
    return {
        "name": name, "state": "ready", "version": "v1", "needs": "", "replicas": 1, "requests_per_second": rate,
        "p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": p99, "error_share": 0.0, "steps_ms": steps, **more,
    }  # fmt: skip


class FakeClient:
    """Answers what the test says."""

    def __init__(self, *rows: Json) -> None:
        self.rows = list(rows)
        self.away = False

    def activity(self) -> list[Json]:
        if self.away:
            raise Unreachable("Nobody answers at http://127.0.0.1:1.")
        return self.rows

    def series(self, name: str, minutes: float) -> list[Json]:
        return [{"requests_per_second": float(number)} for number in range(20)]


def names(app: TopScreen) -> list[str]:
    table = app.query_one(DataTable)
    return [str(table.get_row_at(number)[0]) for number in range(table.row_count)]


async def until(pilot: Any, holds: Callable[[], object]) -> None:
    """Wait until the screen shows something: it asks once a second."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "the screen does not show it"
        await pilot.pause(0.05)


async def test_the_screen_is_sorted_filtered_and_opened_by_keys() -> None:
    client = FakeClient(a_row("[red]slow", 1.0, 90.0), a_row("busy", 500.0, 2.0), a_row("idle", 0.0, None))
    app = TopScreen(cast("Client", client))
    async with app.run_test() as pilot:
        await until(pilot, lambda: names(app) == ["busy", "[red]slow", "idle"])
        assert "3 endpoints · 501 requests/s" in app.sub_title
        await pilot.press("s", "s")
        assert names(app) == ["[red]slow", "busy", "idle"]  # by p99
        await pilot.press("slash", "b", "u")
        assert names(app) == ["busy"]
        await pilot.press("enter", "enter")
        assert isinstance(app.screen, Details)
        steps = app.screen.query_one("#steps", Static)
        await until(pilot, lambda: "predict       2.50 ms  50%  ████████████████████" in str(steps.render()))
        await pilot.press("escape")
        assert not isinstance(app.screen, Details)


async def test_a_server_that_is_away_is_told_and_waited_for() -> None:
    client = FakeClient(a_row("wine", 1.0))
    client.away = True
    app = TopScreen(cast("Client", client))
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.sub_title == "Nobody answers at http://127.0.0.1:1.")
        client.away = False
        await until(pilot, lambda: names(app) == ["wine"])


async def test_a_number_that_changes_keeps_the_row_under_the_cursor() -> None:
    client = FakeClient(a_row("a", 3.0), a_row("b", 2.0), a_row("c", 1.0))
    app = TopScreen(cast("Client", client))
    async with app.run_test() as pilot:
        await until(pilot, lambda: names(app) == ["a", "b", "c"])
        await pilot.press("down")
        client.rows = [a_row("a", 33.0), a_row("b", 22.0), a_row("c", 11.0)]
        table = app.query_one(DataTable)
        await until(pilot, lambda: str(table.get_row_at(1)[3]) == "22.0")
        assert table.cursor_row == 1
