"""The logs of an endpoint: how its versions were prepared, and what their replicas print."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tidegate.control.endpoints.endpoint_views import EndpointView, LogKind
from tidegate.control.endpoints.log_follower import LogEnd
from tidegate.control.endpoints.log_tail import MAX_LOG_BYTES
from tidegate.core.endpoint.endpoint import EndpointConfig
from tidegate.core.endpoint.revision import revision_id
from tidegate.core.endpoint.status import Deployment
from tidegate.core.errors import NotFound
from tidegate.dashboard.pages.endpoint.endpoint_frame import framed, path_of
from tidegate.dashboard.pages.endpoint.log_lines import (
    MOST_LINES,
    Line,
    first_error,
    matching,
    plain_lines,
    shown_lines,
)
from tidegate.dashboard.site import Site

_SHOWN_BYTES = 256 * 1024
_LONGEST_FIND = 100
KINDS = {LogKind.SERVER: "Server", LogKind.BUILD: "Build"}


@dataclass(frozen=True, slots=True)
class Source:
    """A served entity that has logs. `config` is the number of a configuration that has it."""

    entity: str
    version: str
    config: int
    role: str  # what becomes of it: serves, is on its way, failed, was held back, is parked
    state: Deployment | None
    message: str


@dataclass(frozen=True, slots=True)
class LogChoice:
    """What is to be read."""

    kind: LogKind
    source: Source
    find: str = ""

    def query(self, **changes: object) -> str:
        """The query string of this choice with changes."""
        values = {"kind": self.kind.value, "entity": self.source.entity, "config": self.source.config}
        found = {"find": self.find} if self.find else {}
        return urlencode({**values, **found, **changes})


@dataclass(frozen=True, slots=True)
class LogView:
    """The view model of the page. `failure` is the sentence of a failed preparation, and `error` its log's first error.

    `begun` is the beginning of a line that is still being written.
    """

    choice: LogChoice
    sources: tuple[Source, ...]
    lines: tuple[Line, ...]
    begun: str
    left_out: bool
    failure: str
    error: str


_FAILED = ("failed", "was held back")  # the second one where the gate has a report


def sources_of(view: EndpointView) -> tuple[Source, ...]:
    """The served entities that have logs, those of the newest attempt first."""
    endpoint = view.endpoint
    coming = (endpoint.switching.to if endpoint.switching else None, endpoint.pending, endpoint.failed)
    previous = endpoint.previous.config if endpoint.previous else None
    roles: tuple[tuple[str, EndpointConfig | None], ...] = (
        ("is on its way", coming[0].config if coming[0] else None),
        ("is on its way", coming[1].config if coming[1] else None),
        (_FAILED[bool(endpoint.failed and endpoint.failed.report)], coming[2].config if coming[2] else None),
        ("serves", endpoint.active),
        ("is parked", previous),
    )
    found: dict[str, Source] = {}
    for role, config in roles:
        for entity in config.served_entities if config else ():
            rid = revision_id(endpoint.id, entity)
            status = view.status.entities.get(rid)
            state, message = (status.deployment, status.message) if status else (None, "")
            assert config is not None
            source = Source(entity.name, entity.resolved.version, config.version, role, state, message)
            found.setdefault(rid, source)
    serving = (
        {revision_id(endpoint.id, entity) for entity in endpoint.active.served_entities} if endpoint.active else ()
    )
    return tuple(
        Source(one.entity, one.version, one.config, "serves", one.state, one.message)
        if rid in serving and one.role in _FAILED
        else one
        for rid, one in found.items()
    )


def choice_of(sources: tuple[Source, ...], parameters: Mapping[str, str]) -> LogChoice:
    """The choice of a query string; without one, what an owner looks for: a failing build, or else what serves.

    Raises NotFound where nothing has logs.
    """
    if not sources:
        raise NotFound("This endpoint serves nothing, so it has no logs.")
    entity, config = parameters.get("entity", ""), parameters.get("config", "")
    asked = [one for one in sources if one.entity == entity and config in ("", str(one.config))]
    serving = [one for one in sources if one.role == "serves"]
    given = parameters.get("kind", "")
    kind = LogKind(given) if given in set(LogKind) else None
    if kind is None:
        kind = LogKind.SERVER if (asked or serving) and (asked or serving)[0].role == "serves" else LogKind.BUILD
    usual = sources[0] if kind is LogKind.BUILD else (serving or sources)[0]
    return LogChoice(kind, asked[0] if asked else usual, parameters.get("find", "").strip()[:_LONGEST_FIND])


def log_view(view: EndpointView, choice: LogChoice, end: LogEnd) -> LogView:
    """The view model."""
    data = end.text
    whole, _, begun = data.rpartition("\n")
    lines = plain_lines(whole) if whole else []
    found = matching(lines, choice.find)
    source, failed = choice.source, view.endpoint.failed
    failure = ""
    if source.state is Deployment.FAILED or (source.role == "failed" and failed is not None):
        failure = source.message or (failed.message if failed else "")
    error = first_error(lines) if failure and choice.kind is LogKind.BUILD else ""
    return LogView(
        choice,
        sources_of(view),
        shown_lines(found[-MOST_LINES:], choice.find),
        "" if choice.find else "".join(plain_lines(begun)[-1:]),
        not end.is_all or len(found) > MOST_LINES,
        failure,
        error,
    )


def routes(site: Site) -> list[Route]:
    """The routes of the page and of the download."""
    endpoints = site.sources.endpoints

    async def chosen(request: Request) -> LogChoice:
        view = await endpoints.get(request.path_params["name"])
        return choice_of(sources_of(view), request.query_params)

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        view, values = await framed(site, name, "Logs")
        choice = choice_of(sources_of(view), request.query_params)
        most = MAX_LOG_BYTES if choice.find else _SHOWN_BYTES
        end = await endpoints.log_end(name, choice.kind, choice.source.entity, choice.source.config, most)
        follow = f"/live{path_of(name)}/log?{choice.query(**{'from': end.at})}&{values['stream'].partition('?')[2]}"
        shown = await asyncio.to_thread(log_view, view, choice, end)
        more = {"view": shown, "kinds": KINDS, "stream": follow}
        return site.page(request, "logs_page.html", values | more, section="Endpoints")

    async def download(request: Request) -> Response:
        name, choice = request.path_params["name"], await chosen(request)
        source = choice.source
        end = await endpoints.log_end(name, choice.kind, source.entity, source.config, MAX_LOG_BYTES)
        file = f"{name}-{source.entity}-{source.config}-{choice.kind}.log"
        return PlainTextResponse(end.text, headers={"content-disposition": f'attachment; filename="{file}"'})

    return [Route("/endpoints/{name}/logs", show), Route("/endpoints/{name}/logs/download", download)]
