"""The addresses of the event streams."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.dashboard.live import endpoint_state
from tidegate.dashboard.live.build_stream import BuildStream
from tidegate.dashboard.live.endpoint_now import EndpointNow
from tidegate.dashboard.live.endpoint_values import EndpointValues
from tidegate.dashboard.live.event_stream import changed, event, stream
from tidegate.dashboard.live.platform_news import PlatformNews
from tidegate.dashboard.live.ticker import Ticker
from tidegate.dashboard.pages.endpoint_list import PAGE
from tidegate.dashboard.pages.endpoint_overview.situations import Situations
from tidegate.dashboard.pages.endpoint_overview.time_range import time_range
from tidegate.dashboard.site import Site


def routes(site: Site, situations: Situations) -> list[Route]:
    """The routes of the streams."""
    sources, ticker = site.sources, Ticker(site.tick_seconds)
    values = EndpointValues(sources.series.fleet, sources.endpoints.seen)

    async def endpoints(request: Request) -> Response:
        names = request.query_params.getlist("name")[:PAGE]
        sent: dict[str, str] = {}
        seen = request.query_params.get("needs", "")

        async def compose(tick: int) -> bytes:
            nonlocal seen
            news = changed(await values.of(tick, names), sent)
            if seen not in ("", values.needs):
                news += event("refresh", ["needs"])
            seen = values.needs
            return news

        return stream(ticker, compose)

    now = EndpointNow(sources, situations)

    async def endpoint(request: Request) -> Response:
        name, after = request.path_params["name"], request.query_params.get("after", "")
        if sources.endpoints.known(name) is None:
            await sources.endpoints.get(name)  # just made, or not there: then this raises NotFound
        chosen = time_range(request.query_params, sources.clock.now())
        seen = float(after) if after.isascii() and after.isdigit() and len(after) < 12 else sources.clock.now()
        return stream(ticker, now.messages(name, chosen, seen))

    async def platform(request: Request) -> Response:
        return stream(ticker, PlatformNews(site, request.query_params.get("seen", "")).compose)

    async def build(request: Request) -> Response:
        name = request.path_params["name"]
        await sources.endpoints.get(name)
        return stream(ticker, BuildStream(site, name, request.query_params).compose)

    return [
        Route("/live/endpoints", endpoints),
        Route("/live/endpoints/{name}", endpoint),
        Route("/live/endpoints/{name}/build", build),
        Route("/live/platform", platform),
        *endpoint_state.routes(site, ticker),
    ]
