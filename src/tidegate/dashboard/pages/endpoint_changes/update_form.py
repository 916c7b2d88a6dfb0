"""The form of an update: a model version in place of one that serves, or beside it, with its settings."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.endpoints.endpoint_requests import UNRESOLVED, ConfigRequest
from tidegate.core.endpoint import endpoint as endpoints_core
from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig
from tidegate.core.endpoint.registered_model import ModelDetails
from tidegate.core.endpoint.served_entity import (
    WORKLOAD_SIZES,
    Batching,
    ModelRef,
    ServedEntity,
    default_served_name,
)
from tidegate.core.errors import Conflict, InvalidParameter, TidegateError
from tidegate.core.rollout.pointers import ARCHIVED
from tidegate.dashboard.forms import Form, caller, read_form
from tidegate.dashboard.pages.endpoint.endpoint_frame import framed, path_of
from tidegate.dashboard.pages.endpoint_changes.endpoint_actions import check_present
from tidegate.dashboard.site import Flash, Site
from tidegate.http import status_of

BESIDE = "beside"
"""The place of a version that is put beside those that serve."""
BATCHINGS = {
    Batching.AUTO: "auto: where a proof shows that it is safe",
    Batching.ON: "on: always",
    Batching.OFF: "off: never",
}
_LONGEST_NAME = 300  # of a model or a version, characters
# How many versions are offered, and how long the registry has to name them, seconds: the form works without.
_MOST_CHOICES, _PATIENCE = 100, 2.0
_USUAL_SHARE = 10  # per cent, of a version that is put beside others


@dataclass(frozen=True, slots=True)
class UpdateForm:
    """The view model of the form. `values` has what each field shows; a box that is not ticked is left out of it.

    `config` is the number of the configuration that serves, 0 for none. `entities` are the names of what serves, and
    `kept` those of the environment variables that the form keeps as they are.
    """

    config: int
    entities: tuple[str, ...]
    values: dict[str, str]
    kept: tuple[str, ...]


def base_of(endpoint: Endpoint) -> EndpointConfig:
    """The configuration that an update changes: the one that serves, or else the newest one."""
    config = endpoint.active or endpoint.latest_config
    assert config is not None
    return config


def update_form(endpoint: Endpoint, place: str = "", version: str = "") -> UpdateForm:
    """The form for a place: the name of a served entity, BESIDE, or empty for the one with the most traffic."""
    config = base_of(endpoint)
    entity = _at(config, place)
    values = {
        "place": place if place == BESIDE else entity.name,
        "share": str(_USUAL_SHARE),
        "model": entity.model.name,
        "version": version or entity.model.version,
        "size": entity.workload_size,
        "least": _text(entity.min_provisioned_concurrency),
        "most": _text(entity.max_provisioned_concurrency),
        "idle": f"{entity.idle_timeout_seconds:g}",
        "timeout": f"{entity.timeout_seconds:g}",
        "batching": entity.batching.value,
    }
    boxes = {"zero": entity.scale_to_zero_enabled, "retry": entity.retry_on_crash, "trials": entity.trials}
    values |= {name: "on" for name, ticked in boxes.items() if ticked}
    return UpdateForm(
        endpoint.active.version if endpoint.active else 0,
        tuple(one.name for one in config.served_entities),
        values,
        tuple(name for name, _ in entity.environment_vars),
    )


def as_sent(endpoint: Endpoint, form: Form) -> UpdateForm:
    """The form with the values that were sent, to be mended."""
    shown = update_form(endpoint, form.text("place"))
    boxes = ("zero", "retry", "trials", "force")
    texts = {name: form.text(name, usual) for name, usual in shown.values.items() if name not in boxes}
    return replace(shown, values=texts | {name: "on" for name in boxes if form.ticked(name)})


def version_choices(details: ModelDetails) -> tuple[tuple[str, str], ...]:
    """What the field of the version offers: aliases, stages and the newest versions, each with what it means now."""
    aliases = [(f"@{alias}", f"now version {version}") for alias, version in sorted(details.model.aliases.items())]
    stages = [
        (stage, f"now version {version}")
        for stage, version in sorted(details.model.stages.items())
        if stage not in ("None", ARCHIVED)
    ]
    numbers = [
        (one.version, one.status.lower() if one.status != "READY" else ", ".join(one.aliases) or one.stage)
        for one in details.versions[:_MOST_CHOICES]
    ]
    return (*aliases, *stages, *((number, "" if words == "None" else words) for number, words in numbers))


def update_request(endpoint: Endpoint, form: Form) -> ConfigRequest:
    """The configuration that a form asks for. Raises InvalidParameter, and Conflict where another one serves by now."""
    check_present(endpoint, form)
    config, place = base_of(endpoint), form.text("place")
    old = _at(config, place)
    if place not in (BESIDE, old.name):
        raise Conflict(f"'{place[:80]}' does not serve any more. Look at what does, and try again.")
    new = _entity(old, form)
    routes = {route.served_entity: route.traffic_percentage for route in config.routes}
    shares = [routes.get(entity.name, 0) for entity in config.served_entities]
    if place == BESIDE:
        share = form.whole("share", "Share", _USUAL_SHARE)
        assert share is not None
        if not 0 <= share <= 100:
            raise InvalidParameter("Share: a whole number from 0 to 100 %.")
        entities = [*config.served_entities, new]
        shares = [*scaled(shares, 100 - share), share]
    else:
        entities = [new if entity == old else entity for entity in config.served_entities]
    split = tuple(endpoints_core.Route(one.name, part) for one, part in zip(entities, shares, strict=True))
    return ConfigRequest(tuple(entities), split, form.ticked("force"))


def scaled(shares: Sequence[int], total: int) -> list[int]:
    """Whole shares in the same proportions that add up to `total`; the largest remainders are rounded up."""
    whole = sum(shares)
    exact = [share * total / whole for share in shares] if whole else [total / len(shares)] * len(shares)
    found = [int(share) for share in exact]
    for at in sorted(range(len(exact)), key=lambda at: found[at] - exact[at])[: total - sum(found)]:
        found[at] += 1
    return found


def _at(config: EndpointConfig, place: str) -> ServedEntity:
    busiest = max(config.routes, key=lambda route: route.traffic_percentage).served_entity
    return config.entity(place) or config.entity(busiest) or config.served_entities[0]


def _entity(old: ServedEntity, form: Form) -> ServedEntity:
    """The served entity that a form describes. What the form does not show stays as it is in the old one."""
    name, version = form.text("model", old.model.name), form.text("version")
    if not name or not version or max(len(name), len(version)) > _LONGEST_NAME:
        raise InvalidParameter("Model and version are needed: a number, an alias such as @champion, or a stage.")
    batching = form.text("batching", old.batching.value)
    if batching not in set(Batching):
        raise InvalidParameter("Batching: choose auto, on or off.")
    model = ModelRef(name, version)
    derived = form.text("place") == BESIDE or old.name == default_served_name(old.model)
    return replace(
        old,
        name=default_served_name(model) if derived else old.name,
        model=model,
        resolved=UNRESOLVED,
        workload_size=form.text("size", old.workload_size),
        scale_to_zero_enabled=form.ticked("zero"),
        min_provisioned_concurrency=form.whole("least", "Least concurrency"),
        max_provisioned_concurrency=form.whole("most", "Most concurrency"),
        idle_timeout_seconds=form.number("idle", "Idle time", old.idle_timeout_seconds),
        timeout_seconds=form.number("timeout", "Time limit", old.timeout_seconds),
        batching=Batching(batching),
        retry_on_crash=form.ticked("retry"),
        trials=form.ticked("trials"),
    )


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def routes(site: Site) -> list[Route]:
    """The routes of the form."""
    endpoints = site.sources.endpoints

    async def show(request: Request) -> Response:
        view, values = await framed(site, request.path_params["name"], "Roll-outs")
        shown = update_form(
            view.endpoint, request.query_params.get("place", ""), request.query_params.get("version", "")
        )
        return await page(request, values, shown)

    async def choices(model: str) -> tuple[tuple[str, str], ...]:
        try:
            async with asyncio.timeout(_PATIENCE):
                return version_choices((await site.sources.catalog.describe(model)).details)
        except (TidegateError, TimeoutError):
            return ()

    async def page(
        request: Request, values: dict[str, object], shown: UpdateForm, refusal: str = "", status: int = 200
    ) -> Response:
        more = {"form": shown, "sizes": WORKLOAD_SIZES, "batchings": BATCHINGS, "beside": BESIDE, "refusal": refusal}
        more |= {"choices": await choices(shown.values["model"])}
        return site.page(request, "update_form.html", values | more, section="Endpoints", status=status)

    async def update(request: Request) -> Response:
        name, form = request.path_params["name"], await read_form(request)
        view, values = await framed(site, name, "Roll-outs")
        try:
            asked = update_request(view.endpoint, form)
            await endpoints.update_config(name, asked, caller(request))
        except TidegateError as error:
            return await page(request, values, as_sent(view.endpoint, form), error.message, status_of(error)[0])
        return site.go(
            f"{path_of(name)}/rollouts", Flash("good", "The update has begun. What serves goes on meanwhile.")
        )

    return [
        Route("/endpoints/{name}/update", show),
        Route("/endpoints/{name}/update", update, methods=["POST"]),
    ]
