"""The streams of an endpoint's tabs: the frame's values, a hint where a part is to be read anew, and a log's lines."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.endpoints.log_follower import LogNews
from tidegate.dashboard.live.event_stream import changed, event, stream
from tidegate.dashboard.live.ticker import Ticker
from tidegate.dashboard.pages.endpoint.endpoint_frame import frame_of, frame_values, print_of
from tidegate.dashboard.pages.endpoint.log_lines import matching, plain_lines, tells_error
from tidegate.dashboard.pages.endpoint.logs_page import choice_of, sources_of
from tidegate.dashboard.site import Site

PARTS = ("head", "rollouts", "traffic", "switched", "happened", "replicas")
"""The parts of pages that are read anew when an endpoint has changed."""


class StateNews:
    """What to tell the readers of a page about its endpoint. `seen` is the print of what the page shows."""

    def __init__(self, site: Site, name: str, seen: str) -> None:
        self._endpoints, self._clock = site.sources.endpoints, site.sources.clock
        self._name, self._seen = name, seen
        self._sent: dict[str, str] = {}

    def news(self) -> bytes:
        """The events since the last time; empty for none."""
        view = self._endpoints.known(self._name)
        if view is None:
            return changed({"state": "deleted"}, self._sent)
        frame = frame_of(view, self._endpoints.kept_until(view.endpoint), self._clock.now())
        news, now = changed(frame_values(frame), self._sent), print_of(view)
        if self._seen not in ("", now):
            news += event("refresh", PARTS)
        self._seen = now
        return news


def routes(site: Site, ticker: Ticker) -> list[Route]:
    """The routes of the streams: of the state alone, and with the new lines of a log."""
    endpoints = site.sources.endpoints

    async def state(request: Request) -> Response:
        name = request.path_params["name"]
        await endpoints.get(name)
        told = StateNews(site, name, request.query_params.get("seen", ""))

        async def compose(_: int) -> bytes:
            return told.news()

        return stream(ticker, compose)

    async def log(request: Request) -> Response:
        name, asked = request.path_params["name"], request.query_params
        choice = choice_of(sources_of(await endpoints.get(name)), asked)
        begin = asked.get("from", "")
        read_from = int(begin) if begin.isascii() and begin.isdigit() and len(begin) < 16 else None
        source = choice.source
        follower = await endpoints.follow_log(name, choice.kind, source.entity, source.config, read_from)
        told = StateNews(site, name, asked.get("seen", ""))

        async def compose(_: int) -> bytes:
            return told.news() + lines_event(await follower.news(), choice.find)

        return stream(ticker, compose)

    return [Route("/live/endpoints/{name}/state", state), Route("/live/endpoints/{name}/log", log)]


def lines_event(news: LogNews, find: str) -> bytes:
    """The event of new lines. Empty where there are none."""
    lines = lines_of(news, find)
    return event("lines", lines) if lines else b""


def lines_of(news: LogNews, find: str = "") -> dict[str, Any]:
    """The data of that event: each line with whether it tells of an error. Empty where there are none."""
    lines = [(line, tells_error(line)) for line in matching(plain_lines(news.text), find)]
    if not (lines or news.began_anew or news.skipped):
        return {}
    return {"lines": lines, "anew": news.began_anew, "skipped": news.skipped}
