"""The build page: how an endpoint comes to serve a configuration, step by step, with the logs while they grow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.control.endpoints.log_follower import LogEnd
from tidegate.control.endpoints.preparation_view import PreparationLogs, PreparationView
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.errors import Conflict, TidegateError
from tidegate.core.rollout.preparation_steps import Outcome, Step, StepState, StepView
from tidegate.dashboard import formats
from tidegate.dashboard.forms import act, caller
from tidegate.dashboard.pages.endpoint.endpoint_frame import framed, path_of
from tidegate.dashboard.pages.endpoint.log_lines import MOST_LINES, Line, plain_lines, shown_lines
from tidegate.dashboard.pages.endpoint.query_page import query_page
from tidegate.dashboard.site import Site

TITLES = {
    Step.RESOLVE: ("Resolve", "which version is meant"),
    Step.DOWNLOAD: ("Download", "the model's files"),
    Step.ENVIRONMENT: ("Environment", "its packages"),
    Step.REPLICA: ("Replica", "a process that loads the model"),
    Step.EXAMPLE: ("Example", "the model answers its input example"),
    Step.SERVES: ("Serves", "the gate, and the switch"),
}
_IN_BUILD_LOG = (Step.DOWNLOAD, Step.ENVIRONMENT)
_SHOWN_BYTES = 128 * 1024  # of each log


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step in the list. `key` is the beginning of its live values' names."""

    key: str
    title: str
    what: str
    state: str
    seconds: str
    note: str
    usual: str  # how long it usually takes here; empty where that is not known, or the step is over


@dataclass(frozen=True, slots=True)
class ShownLog:
    """A log. `error` is the place of the line to look at first; None where there is none. `shown`: it is unfolded."""

    key: str
    title: str
    lines: tuple[Line, ...]
    error: int | None = None
    shown: bool = True


@dataclass(frozen=True, slots=True)
class EntityRow:
    """One served entity: its steps and its logs."""

    name: str
    steps: tuple[StepRow, ...]
    logs: tuple[ShownLog, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildPage:
    """The view model of the page."""

    outcome: str
    message: str
    version: int  # of the configuration
    entities: tuple[EntityRow, ...]
    elapsed: str
    took: str
    curl: str = ""

    @property
    def has_error(self) -> bool:
        """Whether a log has a line to look at first."""
        return any(log.error is not None for entity in self.entities for log in entity.logs)


def build_page(
    view: PreparationView, logs: Mapping[RevisionId, PreparationLogs], now: float, curl: str = ""
) -> BuildPage:
    """The page's view model."""
    attempt = view.attempt
    rows, told = [], attempt.message if len(view.entities) == 1 else ""
    for one in view.entities:
        steps = tuple(_step(one.entity.name, step, view.usual.get(step.step), told) for step in one.steps)
        rows.append(EntityRow(one.entity.name, steps, tuple(_logs(one.entity.name, one.steps, logs.get(one.revision)))))
    running = attempt.outcome is Outcome.RUNNING
    elapsed = now - attempt.began_at if running and attempt.began_at is not None else None
    return BuildPage(
        attempt.outcome.value,
        attempt.message,
        attempt.config.version,
        tuple(rows),
        "" if elapsed is None else _seconds(elapsed),
        _spent(view.took),
        curl,
    )


def _step(entity: str, step: StepView, usual: float | None, told: str) -> StepRow:
    """The row of a step. `told` is a sentence that stands above all steps already."""
    title, what = TITLES[step.step]
    open_yet = step.state in (StepState.WAITING, StepState.RUNNING)
    return StepRow(
        f"{entity}/{step.step.value}",
        title,
        what,
        step.state.value,
        _seconds(step.seconds) if step.state is StepState.RUNNING else _spent(step.seconds),
        "" if step.note == told else step.note,
        f"usually {formats.duration(usual)} here" if usual is not None and usual >= 1 and open_yet else "",
    )


def _seconds(seconds: float | None) -> str:
    """The time of what runs: whole seconds."""
    return "" if seconds is None else f"{seconds:.0f} s" if seconds < 120 else formats.duration(seconds)


def _spent(seconds: float | None) -> str:
    return "" if seconds is None else formats.duration(seconds) if seconds >= 0.001 else "0 s"


def _logs(entity: str, steps: tuple[StepView, ...], logs: PreparationLogs | None) -> Iterator[ShownLog]:
    if logs is None:
        return
    states = {one.step: one.state for one in steps}
    failed = next((step for step, state in states.items() if state is StepState.FAILED), None)
    prepared = states[Step.ENVIRONMENT] is StepState.DONE
    over = states[Step.SERVES] is StepState.DONE
    yield _log(
        f"build/{entity}",
        "Log of the download and the environment",
        _whole(logs.build),
        failed in _IN_BUILD_LOG,
        not prepared and not over,
    )
    in_replica = failed in (Step.REPLICA, Step.EXAMPLE)
    yield _log(f"replica/{entity}", "Log of its replicas", _whole(logs.replica), in_replica, prepared and not over)


def _log(key: str, title: str, text: str, failed: bool, shown: bool) -> ShownLog:
    lines = shown_lines(plain_lines(text)[-MOST_LINES:], "")
    if not failed or not lines:
        return ShownLog(key, title, lines, shown=shown)
    error = next((number for number, line in enumerate(lines) if line.is_error), len(lines) - 1)
    return ShownLog(key, title, lines, error)


def _whole(end: LogEnd) -> str:
    """The whole lines; the beginning of another one comes with the stream."""
    return end.text[: end.text.rfind("\n") + 1]


def build_values(page: BuildPage) -> dict[str, str]:
    """The values that the page's stream sends."""
    found = {"elapsed": page.elapsed}
    for entity in page.entities:
        for step in entity.steps:
            found[f"{step.key}/state"] = step.state
            found[f"{step.key}/seconds"] = step.seconds
            found[f"{step.key}/note"] = step.note
    return found


def marks_of(view: PreparationView, logs: Mapping[RevisionId, PreparationLogs]) -> list[tuple[str, str]]:
    """The parts of the stream's query string that say which parts of the logs the page has."""
    seen = [(one.revision, logs[one.revision]) for one in view.entities]
    return [("log", f"{revision}.{mine.build.at}.{mine.replica.at}") for revision, mine in seen]


def routes(site: Site) -> list[Route]:
    """The routes of the page and of its action."""
    endpoints = site.sources.endpoints

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        _, values = await framed(site, name, "Build")
        view = await endpoints.preparation(name)
        ids = [one.revision for one in view.entities]
        logs = {rid: await endpoints.preparation_logs(rid, _SHOWN_BYTES) for rid in ids}
        curl = await _curl(request, name) if view.attempt.outcome is Outcome.SERVES else ""
        page = build_page(view, logs, site.sources.clock.now(), curl)
        marks = urlencode(marks_of(view, logs))
        stream = f"/live{path_of(name)}/build?{values['stream'].partition('?')[2]}&{marks}"
        values |= {"view": page, "stream": stream}
        return site.page(request, "build_page.html", values, section="Endpoints")

    async def _curl(request: Request, name: str) -> str:
        try:
            document = await endpoints.openapi(name)
        except TidegateError:
            document = {}
        return query_page(name, document, site.base_url(request)).snippets[0].text

    async def again(request: Request) -> Response:
        name = request.path_params["name"]
        return await act(site, try_again(site, name, caller(request)), f"{path_of(name)}/build")

    return [Route("/endpoints/{name}/build", show), Route("/endpoints/{name}/build/again", again, methods=["POST"])]


async def try_again(site: Site, name: str, by: str) -> str:
    """Update an endpoint to the configuration that failed, with the same versions. Raises Conflict where none has."""
    endpoint = (await site.sources.endpoints.get(name)).endpoint
    failed: Any = endpoint.failed
    if failed is None:
        raise Conflict(f"No update of endpoint '{name}' has failed.")
    request = ConfigRequest(failed.config.served_entities, failed.config.routes)
    await site.sources.endpoints.update_config(name, request, by)
    return "It is tried again, with the same version."
