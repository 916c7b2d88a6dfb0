"""The slowest requests of an endpoint with their steps, and its newest errors with their sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.core.planes.noted_requests import KEPT_SECONDS, NotedRequest, NotedRequests
from tidegate.core.series.series_point import STEPS
from tidegate.dashboard import formats
from tidegate.dashboard.pages.endpoint.endpoint_frame import framed
from tidegate.dashboard.site import Site
from tidegate.dashboard.stacked_bar import Part, stacked

# Fewer requests have nothing in common that could be told.
_FEWEST = 3
COLD = {"fork": "forked", "spawn": "spawned"}


@dataclass(frozen=True, slots=True)
class SlowRow:
    """One request. `parts` are its steps as a bar beside those of the others; `said` has them in words."""

    request: NotedRequest
    parts: tuple[Part, ...]
    said: str
    longest: str  # the step that took longest, with its time; empty where no step is known
    cold: str


@dataclass(frozen=True, slots=True)
class SlowPage:
    """The view model of the page. `cause` is what most of the slowest requests have in common."""

    slowest: tuple[SlowRow, ...]
    errors: tuple[NotedRequest, ...]
    legend: tuple[Part, ...]
    cause: str


def slow_page(noted: NotedRequests) -> SlowPage:
    """The view model."""
    longest = max((request.seconds for request in noted.slowest), default=0.0)
    rows = tuple(_row(request, longest) for request in noted.slowest)
    return SlowPage(rows, noted.errors, stacked([(step, 1.0) for step in STEPS]), cause_of(noted.slowest))


def cause_of(requests: Sequence[NotedRequest]) -> str:
    """The step that most of these requests spent most of their time in, as a sentence; empty where none stands out."""
    known = [request for request in requests if len(request.steps) == len(STEPS) and any(request.steps)]
    if len(known) < _FEWEST:
        return ""
    cold = len([request for request in known if request.cold])
    if 2 * cold > len(known):
        return f"{cold} of the {len(known)} waited for a replica to start."
    for at, step in enumerate(STEPS):
        held = len([request for request in known if 2 * request.steps[at] > sum(request.steps)])
        if 2 * held > len(known):
            return f"{held} of the {len(known)} spent most of their time in {_WORDS[step]}."
    return ""


_WORDS = {
    "queue": "the gateway's queue, where they waited for a replica",
    "wait": "the replica, where they waited for their batch",
    "decode": "decoding the request",
    "predict": "the model's prediction",
    "encode": "encoding the answer",
    "gateway": "the gateway itself",
}


def _row(request: NotedRequest, longest: float) -> SlowRow:
    cold = COLD.get(request.cold, request.cold)
    if len(request.steps) != len(STEPS):
        unknown = stacked([("unknown", request.seconds)], ("f6",), longest)
        return SlowRow(request, unknown, "its steps are not known", "", cold)
    pairs = list(zip(STEPS, request.steps, strict=True))
    step, seconds = max(pairs, key=lambda pair: pair[1])
    said = ", ".join(f"{name} {formats.duration(took)}" for name, took in pairs)
    return SlowRow(request, stacked(pairs, longest=longest), said, f"{step} {formats.duration(seconds)}", cold)


def routes(site: Site) -> list[Route]:
    """The routes of the page."""

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        _, values = await framed(site, name, "Slow")
        shown = slow_page(await site.sources.slow_requests.of(name))
        more = {"view": shown, "steps": STEPS, "minutes": KEPT_SECONDS // 60}
        return site.page(request, "slow_page.html", values | more, section="Endpoints")

    return [Route("/endpoints/{name}/slow", show)]
