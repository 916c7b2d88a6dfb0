"""The live screen of `tidegate top`, made with Textual: a table that is sorted, filtered and opened by keys."""

from functools import partial
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Header, Input, Sparkline, Static

from tidegate.cli.activity_view import COLUMNS, SORTS, cells, sorted_by, steps
from tidegate.cli.client import Client
from tidegate.cli.endpoint_view import Json
from tidegate.cli.failure import Failure

_EVERY_SECONDS = 1.0
_BAR = 40  # characters
_NUMBERS = COLUMNS.index("REQ/S")


class Details(ModalScreen[None]):
    """One endpoint: the last quarter of an hour, and where a request's time goes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Back")]

    def __init__(self, client: Client, row: Json) -> None:
        super().__init__()
        self._client, self._row = client, row

    def compose(self) -> ComposeResult:
        """The parts of the screen."""
        with VerticalScroll():
            yield Static(Text(str(self._row["name"]), style="bold"))
            yield Static("", id="said")
            yield Static("Requests per second, the last 15 minutes")
            yield Sparkline([], id="rates")
            yield Static("", id="steps")
        yield Footer()

    def on_mount(self) -> None:
        """Ask for the series, away from the screen's own thread."""
        self.run_worker(self._load, thread=True)

    def _load(self) -> None:
        try:
            points = self._client.series(str(self._row["name"]), minutes=15)
        except Failure as failure:
            self.app.call_from_thread(self._show, [], failure.message)
            return
        self.app.call_from_thread(self._show, points, str(self._row["needs"]))

    def _show(self, points: list[Json], said: str) -> None:
        self.query_one("#said", Static).update(Text(said))
        self.query_one("#rates", Sparkline).data = [float(point["requests_per_second"]) for point in points]
        self.query_one("#steps", Static).update(Text(bars(self._row)))


def bars(row: Json) -> str:
    """Where a request's time goes, a line for each step."""
    found = steps(row)
    total = sum(spent for _, spent in found)
    if not total:
        return "No request in the last minute."
    lines = [
        f"{name:<8} {spent:9.2f} ms {spent / total:4.0%}  {'█' * round(spent / total * _BAR)}" for name, spent in found
    ]
    return "\n".join(["Where a request's time goes, the last minute", *lines])


class TopScreen(App[None]):
    """The table of all endpoints, asked for once a second."""

    TITLE = "tidegate top"
    CSS = """
    #filter { display: none; }
    #filter.open { display: block; }
    Details { align: center middle; }
    Details > VerticalScroll {
        width: 90; max-width: 96%; height: auto; max-height: 90%;
        border: round $primary; padding: 1 2; background: $surface;
    }
    Sparkline { height: 4; margin: 0 0 1 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("s", "sort", "Sort by the next column"),
        Binding("slash", "filter", "Filter"),
        Binding("escape", "clear", "All", show=False),
    ]

    def __init__(self, client: Client, sort: str = "requests") -> None:
        super().__init__()
        sorted_by([], sort)  # an unknown order is refused before the screen is taken
        self._client, self._sort, self._find = client, sort, ""
        self._rows: dict[str, Json] = {}
        self._order: list[str] = []

    def compose(self) -> ComposeResult:
        """The parts of the screen."""
        yield Header()
        yield Input(placeholder="A part of a name", id="filter")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to ask."""
        table = self.query_one(DataTable)
        for number, name in enumerate(COLUMNS):
            table.add_column(Text(name, justify="right" if number >= _NUMBERS else "left"), key=name)
        table.focus()
        self._ask()
        self.set_interval(_EVERY_SECONDS, self._ask)

    def _ask(self) -> None:
        self.run_worker(self._load, thread=True, exclusive=True)

    def _load(self) -> None:
        try:
            rows = self._client.activity()
        except Failure as failure:
            self.call_from_thread(self._away, failure.message)
            return
        self.call_from_thread(self._show, rows)

    def _away(self, message: str) -> None:
        self.sub_title = message

    def _show(self, rows: list[Json]) -> None:
        self._rows = {str(row["name"]): row for row in rows}
        total = sum(float(row["requests_per_second"]) for row in rows)
        asleep = sum(row["state"] == "asleep" for row in rows)
        self.sub_title = f"{len(rows):,} endpoints · {total:,.0f} requests/s · {asleep:,} asleep · by {self._sort}"
        self._draw()

    def _draw(self) -> None:
        """Bring the table up to date; it is filled anew only where other rows stand in it, or in another order."""
        table = self.query_one(DataTable)
        rows = [
            row for row in sorted_by(list(self._rows.values()), self._sort) if self._find in str(row["name"]).lower()
        ]
        order = [str(row["name"]) for row in rows]
        if order != self._order:
            at = table.cursor_row
            table.clear()
            for row in rows:
                table.add_row(*_texts(row), key=str(row["name"]))
            self._order = order
            table.move_cursor(row=min(at, len(order) - 1))
            return
        for row in rows:
            for column, text in zip(COLUMNS, _texts(row), strict=True):
                table.update_cell(str(row["name"]), column, text)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open an endpoint."""
        row = self._rows.get(str(event.row_key.value))
        if row is not None:
            self.push_screen(Details(self._client, row))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the endpoints with this text in their names."""
        self._find = event.value.strip().lower()
        self._draw()

    def on_input_submitted(self) -> None:
        """Go back to the table."""
        self.query_one(DataTable).focus()

    def action_sort(self) -> None:
        """Sort by the next of SORTS."""
        self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        self._draw()
        self.call_later(partial(self._show, list(self._rows.values())))

    def action_filter(self) -> None:
        """Ask for a part of a name."""
        field = self.query_one("#filter", Input)
        field.add_class("open")
        field.focus()

    def action_clear(self) -> None:
        """Show all again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.remove_class("open")
        self.query_one(DataTable).focus()


def _texts(row: Json) -> list[Text]:
    """The cells as texts: a name's brackets are no markup."""
    style = {"ready": "green", "failed": "red", "updating": "yellow", "creating": "yellow", "recovering": "yellow"}
    texts = [Text(cell, justify="right" if at >= _NUMBERS else "left") for at, cell in enumerate(cells(row))]
    texts[COLUMNS.index("STATE")].stylize(style.get(str(row["state"]), "dim"))
    return texts
