"""The addresses of the event streams."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.dashboard.live.endpoint_values import EndpointValues
from tidegate.dashboard.live.event_stream import changed, stream
from tidegate.dashboard.live.ticker import Ticker
from tidegate.dashboard.pages.endpoint_list import PAGE
from tidegate.dashboard.site import Site


def routes(site: Site) -> list[Route]:
    """The routes of the streams."""
    sources, ticker = site.sources, Ticker(site.tick_seconds)
    values = EndpointValues(sources.series.fleet, sources.endpoints.seen)

    async def endpoints(request: Request) -> Response:
        names = request.query_params.getlist("name")[:PAGE]
        sent: dict[str, str] = {}

        async def compose(tick: int) -> bytes:
            return changed(await values.of(tick, names), sent)

        return stream(ticker, compose)

    return [Route("/live/endpoints", endpoints)]
