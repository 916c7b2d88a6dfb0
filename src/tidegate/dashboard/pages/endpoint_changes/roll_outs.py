"""The roll-outs of an endpoint: the split of its traffic, what is on its way, held back or parked, and its switches."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.endpoints.endpoint_views import EndpointView, GateView, SwitchesView
from tidegate.core.endpoint.endpoint import FOLLOWER, ROLLBACK, Endpoint, EndpointConfig
from tidegate.core.endpoint.gate_policy import GateMode, GatePolicy
from tidegate.core.endpoint.revision import revision_id
from tidegate.core.endpoint.status import Deployment, EntityStatus
from tidegate.core.errors import NotFound
from tidegate.core.legacy_products.enablement import kept_out
from tidegate.core.rollout.switch import Side, Switch
from tidegate.dashboard.pages.endpoint.endpoint_frame import Share, config_text, framed, path_of
from tidegate.dashboard.pages.endpoint_changes.gate_report import gate_report
from tidegate.dashboard.site import Site
from tidegate.ports import Event

_NEWEST_EVENTS = 20
MODES = {
    GateMode.SAFE: "safe: holds back what would break callers",
    GateMode.STRICT: "strict: holds back changed answers too",
    GateMode.OFF: "off: compares nothing",
}


@dataclass(frozen=True, slots=True)
class Entity:
    """A served entity of the update under way: how far it is, and the sentence on that."""

    name: str
    model: str
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Coming:
    """The update under way. Steps are pairs of a name and `done`, `running` or `waiting`."""

    what: str
    by: str
    since: float
    steps: tuple[tuple[str, str], ...]
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """An update that does not serve: held back by the gate, failed, or kept out of an enabled model's stage.

    `report` is the path of the gate's report, empty without one. `config` is the number of the configuration.
    """

    what: str
    sentence: str
    report: str
    config: int
    may_be_forced: bool


@dataclass(frozen=True, slots=True)
class Parked:
    """What a rollback would bring back. `replicas` says until when its replicas run, unix seconds, or None."""

    what: str
    since: float
    replaced_by: str
    replicas: float | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A switch in the time line. `verdict` is the gate's, and `report` the path of its report; empty without one."""

    at: float
    by: str
    after: str
    before: str
    is_rollback: bool
    verdict: str
    report: str


@dataclass(frozen=True, slots=True)
class RollOuts:
    """The view model of the page. `config` is the number of the configuration that serves, 0 for none."""

    config: int
    shares: tuple[Share, ...]
    coming: Coming | None
    refused: Refused | None
    parked: Parked | None
    entries: tuple[Entry, ...]
    policy: GatePolicy
    is_own_policy: bool
    events: tuple[Event, ...]
    more_events: int


def who(by: str) -> str:
    """Who has asked for an update, for people."""
    return {FOLLOWER: "the registry: an alias or a stage moved", ROLLBACK: "a rollback", "": "nobody on record"}.get(
        by, by
    )


def roll_outs(
    view: EndpointView, shares: Sequence[Share], switches: SwitchesView, gate: GateView, events: Sequence[Event]
) -> RollOuts:
    """The view model."""
    endpoint = view.endpoint
    parked = switches.parked
    return RollOuts(
        endpoint.active.version if endpoint.active else 0,
        tuple(shares),
        _coming(view),
        _refused(endpoint),
        Parked(config_text(parked.config), parked.since, who(parked.replaced_by), switches.kept_until)
        if parked
        else None,
        tuple(_entry(endpoint.name, switch) for switch in reversed(switches.switches)),
        gate.policy,
        endpoint.gate is not None,
        tuple(reversed(events))[:_NEWEST_EVENTS],
        max(0, len(events) - _NEWEST_EVENTS),
    )


def _coming(view: EndpointView) -> Coming | None:
    endpoint = view.endpoint
    pending = endpoint.switching.to if endpoint.switching else endpoint.pending
    if pending is None:
        return None
    entities = tuple(_entities(view, pending.config))
    ready = all(entity.state == "ready" for entity in entities)
    at = 2 if endpoint.switching else 1 if ready else 0
    skipped = pending.forced or endpoint.active is None
    names = ("prepare and start", "no gate" if skipped else "gate", "switch")
    steps = tuple(
        (name, "done" if number < at else "running" if number == at else "waiting") for number, name in enumerate(names)
    )
    return Coming(config_text(pending.config), who(pending.by), pending.started_at, steps, entities)


def _entities(view: EndpointView, config: EndpointConfig) -> list[Entity]:
    nothing = EntityStatus(Deployment.CREATING, "Waiting to be prepared.")
    found = []
    for entity in config.served_entities:
        status = view.status.entities.get(revision_id(view.endpoint.id, entity), nothing)
        state = status.deployment.value.removeprefix("DEPLOYMENT_").lower()
        model = f"{entity.resolved.name}/{entity.resolved.version}"
        found.append(Entity(entity.name, model, state, status.message))
    return found


def _refused(endpoint: Endpoint) -> Refused | None:
    failed = endpoint.failed
    if failed is not None:
        report = f"{path_of(endpoint.name)}/rollouts/failed" if failed.report else ""
        return Refused(config_text(failed.config), failed.message, report, failed.config.version, bool(failed.report))
    kept = kept_out(endpoint) if endpoint.pending is None else None
    if kept is None:
        return None
    sentence = "The stage has this version, which was held back, failed or was rolled back from; what served goes on."
    return Refused(config_text(kept), sentence, "", kept.version, may_be_forced=True)


def _entry(name: str, switch: Switch) -> Entry:
    report = gate_report(switch.report)
    path = f"{path_of(name)}/rollouts/{moment_of(switch)}" if report is not None else ""
    verdict = report.verdict if report else ""
    if report is not None and verdict == "passed" and not report.requests:
        verdict = "not compared"
    return Entry(
        switch.at,
        who(switch.by),
        side_text(switch.after),
        side_text(switch.before) if switch.before else "",
        switch.by == ROLLBACK,
        verdict,
        path,
    )


def side_text(side: Side) -> str:
    """What a side of a switch serves: `wine v3`, or `wine v3 90 %, wine v4 10 %`."""
    served = [(f"{model.name} v{model.version}", side.shares.get(name)) for name, model in side.versions.items()]
    if len(served) == 1 or not side.shares:
        return ", ".join(title for title, _ in served)
    return ", ".join(f"{title} {share} %" for title, share in served if share)


def moment_of(switch: Switch) -> str:
    """The part of an address that names a switch: its time, unix milliseconds."""
    return str(round(switch.at * 1000))


def routes(site: Site) -> list[Route]:
    """The routes of the page, of a report, and of the whole history."""
    endpoints = site.sources.endpoints

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        view, values = await framed(site, name, "Roll-outs")
        shown = roll_outs(
            view,
            values["frame"].shares,
            await endpoints.switches(name),
            await endpoints.gate(name),
            await endpoints.events(name),
        )
        return site.page(request, "roll_outs.html", values | {"view": shown, "modes": MODES}, section="Endpoints")

    async def report(request: Request) -> Response:
        name, which = request.path_params["name"], request.path_params["which"]
        view, values = await framed(site, name, "Roll-outs")
        failed = view.endpoint.failed
        what, text, at = "", "", None
        if which == "failed" and failed is not None:
            what, text = config_text(failed.config), failed.report
        for switch in (await endpoints.switches(name)).switches:
            if moment_of(switch) == which:
                what, text, at = side_text(switch.after), switch.report, switch.at
        shown = gate_report(text)
        if shown is None:
            raise NotFound(f"Endpoint '{name}' has no such report. The page of its roll-outs has all that are kept.")
        more = {
            "view": shown,
            "what": what,
            "at": at,
            "refused": _refused(view.endpoint) if which == "failed" else None,
        }
        return site.page(request, "gate_report.html", values | more, section="Endpoints")

    async def events(request: Request) -> Response:
        name = request.path_params["name"]
        _, values = await framed(site, name, "Roll-outs")
        shown = tuple(reversed(await endpoints.events(name)))
        return site.page(request, "endpoint_events.html", values | {"events": shown}, section="Endpoints")

    return [
        Route("/endpoints/{name}/rollouts", show),
        Route("/endpoints/{name}/rollouts/{which}", report),
        Route("/endpoints/{name}/events", events),
    ]
