"""The stream of tabs that show an endpoint's state: the frame's values, and a hint where a part is to be read anew."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.dashboard.live.event_stream import changed, event, stream
from tidegate.dashboard.live.ticker import Ticker
from tidegate.dashboard.pages.endpoint.endpoint_frame import frame_of, frame_values, print_of
from tidegate.dashboard.site import Site

PARTS = ("head", "rollouts", "switched", "replicas")
"""The parts of pages that are read anew when an endpoint has changed."""


def routes(site: Site, ticker: Ticker) -> list[Route]:
    """The route of the stream."""
    endpoints, clock = site.sources.endpoints, site.sources.clock

    async def state(request: Request) -> Response:
        name = request.path_params["name"]
        await endpoints.get(name)
        sent: dict[str, str] = {}
        shown = request.query_params.get("seen", "")

        async def compose(_: int) -> bytes:
            nonlocal shown
            view = endpoints.known(name)
            if view is None:
                return changed({"state": "deleted"}, sent)
            frame = frame_of(view, endpoints.kept_until(view.endpoint), clock.now())
            news, now = changed(frame_values(frame), sent), print_of(view)
            if shown not in ("", now):
                news += event("refresh", PARTS)
            shown = now
            return news

        return stream(ticker, compose)

    return [Route("/live/endpoints/{name}/state", state)]
