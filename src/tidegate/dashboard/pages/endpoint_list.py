"""The first page: all endpoints, those that need somebody first, with what they do now."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.endpoints.endpoint_summary import STATES, need_of, state_of, version_of
from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.core.series.latency_histogram import quantile
from tidegate.core.series.series_point import SeriesPoint, all_beside
from tidegate.dashboard.site import Site

PAGE = 50
_MOST_NEEDS = 10
SORTS = ("requests", "name", "p99", "errors", "replicas", "changed")
_SPARK_WIDTH, _SPARK_HEIGHT = 110, 24


@dataclass(frozen=True, slots=True)
class Row:
    """An endpoint in the list. Its point is that of the last minute."""

    name: str
    state: str  # one of STATES
    version: str
    point: SeriesPoint
    replicas: int
    wanted: float
    changed_at: float
    need: str = ""  # what its owner has to look at
    spark: str = ""  # the points of an SVG polyline, the last hour

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.point.requests / self.point.seconds if self.point.seconds else 0.0

    @property
    def p50(self) -> float | None:
        """The median latency, seconds."""
        return quantile(self.point.latency, 0.5)

    @property
    def p99(self) -> float | None:
        """The latency, seconds, that 1 % of the requests are above."""
        return quantile(self.point.latency, 0.99)

    @property
    def errors(self) -> float:
        """The share of requests that were answered with an error of the model or of the platform, 0 to 1."""
        return self.point.of_class(5) / self.point.requests if self.point.requests else 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What the list's reader asked for."""

    find: str = ""
    state: str = ""
    sort: str = "requests"
    page: int = 1

    def query(self, **changes: object) -> str:
        """The query string of this choice with changes, without what is usual."""
        values = {"find": self.find, "state": self.state, "sort": self.sort, "page": self.page} | changes
        usual = {"find": "", "state": "", "sort": "requests", "page": 1}
        return urlencode({key: value for key, value in values.items() if value != usual[key]})


@dataclass(frozen=True, slots=True)
class EndpointList:
    """The view model of the page."""

    rows: Sequence[Row]
    needs: Sequence[Row]
    more_needs: int
    choice: Choice
    found: int
    everything: int
    asleep: int
    total: SeriesPoint

    @property
    def pages(self) -> int:
        """The number of pages."""
        return max(1, -(-self.found // PAGE))


def endpoint_list(
    views: Iterable[EndpointView],
    fleet: Mapping[str, SeriesPoint],
    wanted: Mapping[str, float],
    choice: Choice,
) -> EndpointList:
    """The page's view model, without the rows' sparklines. `fleet` has the last minute of each busy endpoint."""
    rows = [_row(view, fleet.get(view.endpoint.name), wanted.get(view.endpoint.name)) for view in views]
    needs = [row for row in rows if row.need]
    find = choice.find.lower()
    found = [row for row in rows if find in row.name.lower() and choice.state in ("", row.state)]
    found.sort(key=lambda row: row.name)
    if choice.sort != "name":
        found.sort(key=lambda row: _rank(row, choice.sort), reverse=True)
    first = (choice.page - 1) * PAGE
    return EndpointList(
        found[first : first + PAGE],
        needs[:_MOST_NEEDS],
        max(0, len(needs) - _MOST_NEEDS),
        choice,
        len(found),
        len(rows),
        sum(row.state == "asleep" for row in rows),
        all_beside((row.point for row in rows if row.point.requests), 0.0, 60.0),
    )


def _row(view: EndpointView, point: SeriesPoint | None, wanted: float | None) -> Row:
    endpoint = view.endpoint
    replicas = view.status.replicas
    return Row(
        endpoint.name,
        state_of(view),
        version_of(view),
        point or SeriesPoint(0.0, 60.0),
        replicas,
        replicas if wanted is None else wanted,
        endpoint.updated_at,
        need_of(view),
    )


def _rank(row: Row, sort: str) -> float:
    match sort:
        case "p99":
            return row.p99 or 0.0
        case "errors":
            return row.errors
        case "replicas":
            return row.replicas
        case "changed":
            return row.changed_at
        case _:
            return row.rate


def needs_print(views: Iterable[EndpointView]) -> str:
    """A digest of what needs somebody: where it differs, that part of the page is to be read anew."""
    needs = sorted((view.endpoint.name, need) for view in views if (need := need_of(view)))
    return hashlib.sha256(repr(needs).encode()).hexdigest()[:12]


def sparkline(rates: Sequence[float]) -> str:
    """The points of an SVG polyline of 110 by 24 for these rates; empty where there is nothing to draw."""
    if len(rates) < 2 or not any(rates):
        return ""
    most, step = max(rates), _SPARK_WIDTH / (len(rates) - 1)
    return " ".join(
        f"{at * step:.1f},{1 + (1 - rate / most) * (_SPARK_HEIGHT - 2):.1f}" for at, rate in enumerate(rates)
    )


def choice_of(parameters: Mapping[str, str]) -> Choice:
    """The choice of a query string. What makes no sense is left out, as a link may be old."""
    page = parameters.get("page", "1")
    sort, state = parameters.get("sort", ""), parameters.get("state", "")
    return Choice(
        parameters.get("find", "").strip()[:64],
        state if state in STATES else "",
        sort if sort in SORTS else "requests",
        max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 6 else 1,
    )


def routes(site: Site) -> list[Route]:
    """The routes of the page and of the finder."""
    sources = site.sources

    async def show(request: Request) -> Response:
        choice = choice_of(request.query_params)
        series = sources.series
        views = await sources.endpoints.list()
        view = endpoint_list(views, series.fleet(), {}, choice)
        sparks = {row.name: sparkline(series.sparkline(row.name)) for row in view.rows}
        shown = urlencode([*(("name", row.name) for row in view.rows), ("needs", needs_print(views))])
        template = "endpoint_rows.html" if request.headers.get("hx-request") else "endpoint_list.html"
        values = {
            "view": view,
            "sparks": sparks,
            "stream": f"/live/endpoints?{shown}",
            "states": STATES,
        }
        if template == "endpoint_rows.html":
            is_needs = request.query_params.get("part") == "needs"
            return site.fragment("endpoint_needs.html" if is_needs else template, values)
        return site.page(request, template, values, section="Endpoints")

    async def find(request: Request) -> Response:
        query = request.query_params.get("q", "").strip()[:64].lower()
        names = [view.endpoint.name for view in await sources.endpoints.list() if query in view.endpoint.name.lower()]
        return site.fragment("found.html", {"names": names[:20], "query": query})

    return [Route("/", show), Route("/find", find)]
