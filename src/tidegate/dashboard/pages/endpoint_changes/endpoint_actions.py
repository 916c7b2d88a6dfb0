"""What is done to an endpoint by a button or a small form of its pages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.control.endpoints.endpoint_verbs import Endpoints
from tidegate.core.endpoint import endpoint as endpoints_core
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.gate_policy import GateMode, GatePolicy
from tidegate.core.errors import Conflict, InvalidParameter
from tidegate.dashboard.forms import Form, act, caller, read_form
from tidegate.dashboard.pages.endpoint.endpoint_frame import framed, path_of
from tidegate.dashboard.site import Site


def check_present(endpoint: Endpoint, form: Form) -> None:
    """Raise Conflict where another configuration serves than the one that the form shows."""
    shown, serves = form.whole("config", "Configuration"), endpoint.active.version if endpoint.active else 0
    if shown is not None and shown != serves:
        raise Conflict("Meanwhile another configuration serves. Look at it, and try again.")


def split_of(endpoint: Endpoint, form: Form) -> ConfigRequest:
    """The traffic split that a form asks for: a share for each served entity, and those that are to end.

    Raises InvalidParameter, and Conflict where another configuration serves meanwhile.
    """
    check_present(endpoint, form)
    active = endpoint.active
    if active is None:
        raise Conflict(f"Endpoint '{endpoint.name}' serves nothing yet.")
    before = {route.served_entity: route.traffic_percentage for route in active.routes}
    kept, shares = [], []
    for entity in active.served_entities:
        share = form.whole(f"share:{entity.name}", f"Share of {entity.name}", before.get(entity.name, 0)) or 0
        if not form.ticked(f"end:{entity.name}"):
            kept.append(entity)
            shares.append(endpoints_core.Route(entity.name, share))
        elif share:
            raise InvalidParameter(f"'{entity.name}' is to end, so its share must be 0.")
    if not kept:
        raise InvalidParameter("At least one served entity must stay. To end all, delete the endpoint.")
    same = len(kept) == len(active.served_entities)
    return ConfigRequest(None if same else tuple(kept), tuple(shares))


def policy_of(form: Form, before: GatePolicy) -> GatePolicy:
    """The gate policy that a form asks for. Raises InvalidParameter."""
    mode = form.text("mode", before.mode.value)
    if mode not in set(GateMode):
        raise InvalidParameter("Mode: choose safe, strict or off.")
    share = form.number("share", "Changed answers", before.max_changed_share * 100)
    if not 0 <= share <= 100:
        raise InvalidParameter("Changed answers: the share must be from 0 to 100 %.")
    return GatePolicy(GateMode(mode), share / 100, form.ticked("record"))


def tag_changes(form: Form) -> tuple[dict[str, str], list[str]]:
    """The tags that a form sets, and those that it removes. Raises InvalidParameter."""
    removed = [key for key in form.values.get("remove", ()) if key]
    key, value = form.text("key"), form.text("value")
    if not key and (value or not removed):
        raise InvalidParameter("A tag needs a key.")
    return ({key: value} if key else {}), removed


async def _rollback(endpoints: Endpoints, name: str, _: Form, __: str) -> str:
    pending = (await endpoints.rollback(name)).endpoint.pending
    return "Rolling back." if pending is not None else "The update was taken back. What served goes on."


async def _force(endpoints: Endpoints, name: str, form: Form, by: str) -> str:
    failed = (await endpoints.get(name)).endpoint.failed
    shown = form.whole("failed", "Configuration")
    if failed is not None and shown not in (None, failed.config.version):
        raise Conflict("Meanwhile another version is held back. Look at its report, and try again.")
    await endpoints.force(name, by)
    return "The version is started, and serves without a gate."


async def _split(endpoints: Endpoints, name: str, form: Form, by: str) -> str:
    asked = split_of((await endpoints.get(name)).endpoint, form)
    await endpoints.update_config(name, asked, by)
    return "The traffic is being split as asked for."


async def _set_gate(endpoints: Endpoints, name: str, form: Form, _: str) -> str:
    await endpoints.set_gate(name, policy_of(form, (await endpoints.gate(name)).policy))
    return "The gate policy applies from the next update on."


async def _change_tags(endpoints: Endpoints, name: str, form: Form, _: str) -> str:
    add, remove = tag_changes(form)
    await endpoints.patch_tags(name, add, remove)
    return "The tags are changed."


async def _delete(endpoints: Endpoints, name: str, form: Form, _: str) -> str:
    if form.text("name") != name:
        raise InvalidParameter(f"Nothing was deleted: type the name '{name}' to delete the endpoint.")
    await endpoints.delete(name)
    return f"Endpoint '{name}' was deleted. Its replicas finish their requests."


@dataclass(frozen=True, slots=True)
class _Action:
    """What a button does: `do` returns what has been done. `tab` is where one comes from, and where an error is told.

    `then` is the page after it, or the tab of the endpoint; empty where that is the one before.
    """

    do: Callable[[Endpoints, str, Form, str], Awaitable[str]]
    tab: str
    then: str = ""


_ACTIONS = {
    "rollback": _Action(_rollback, "", "/rollouts"),
    "force": _Action(_force, "/rollouts"),
    "traffic": _Action(_split, "/rollouts"),
    "gate": _Action(_set_gate, "/rollouts"),
    "tags": _Action(_change_tags, "/settings"),
    "delete": _Action(_delete, "/settings", "/"),
}


def routes(site: Site) -> list[Route]:
    """The routes of the actions, which answer with a page to go to; and the head of all tabs, which is read anew."""

    def route(verb: str, action: _Action) -> Route:
        async def answer(request: Request) -> Response:
            name, form = request.path_params["name"], await read_form(request)
            place = path_of(name)
            then = action.then if action.then == "/" else place + (action.then or action.tab)
            doing = action.do(site.sources.endpoints, name, form, caller(request))
            return await act(site, doing, place + action.tab, then)

        return Route(f"/endpoints/{{name}}/{verb}", answer, methods=["POST"])

    async def head(request: Request) -> Response:
        _, values = await framed(site, request.path_params["name"], "")
        return site.fragment("endpoint_head.html", values)

    actions = [route(verb, action) for verb, action in _ACTIONS.items()]
    return [Route("/endpoints/{name}/head", head), *actions]
