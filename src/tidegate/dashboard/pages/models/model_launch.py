"""The launch of a model: an endpoint with the usual settings, made by one click."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.access.principal_middleware import principal_of
from tidegate.control.endpoints.endpoint_requests import UNRESOLVED, ConfigRequest, EndpointRequest
from tidegate.control.endpoints.endpoint_verbs import Endpoints
from tidegate.core.endpoint.launch_choice import free_name, usual_reference
from tidegate.core.endpoint.served_entity import ModelRef, ServedEntity, default_served_name
from tidegate.core.errors import AlreadyExists, NotFound, TidegateError
from tidegate.dashboard import formats
from tidegate.dashboard.forms import Form, read_form
from tidegate.dashboard.pages.models.model_list import path_of
from tidegate.dashboard.site import Flash, Site

SIZES = (("Small", "at most 4 replicas"), ("Medium", "at most 16 replicas"), ("Large", "at most 64 replicas"))
_TYPES = ("CPU", "CPU_MEDIUM", "CPU_LARGE")
_ATTEMPTS = 5  # for a name that somebody else takes at this moment


def workload_types(limits: Mapping[str, int]) -> list[tuple[str, str]]:
    """The choices of a replica's memory: each type, and how much it may use."""
    return [(kind, f"up to {formats.memory(limits[kind])}" if limits.get(kind) else "no limit") for kind in _TYPES]


def asked_for(form: Form, ref: ModelRef) -> ServedEntity:
    """The served entity of a launch: the usual values, but for those that the form has. Raises InvalidParameter."""
    usual = ServedEntity(default_served_name(ref), ref, UNRESOLVED)
    return ServedEntity(
        usual.name,
        ref,
        UNRESOLVED,
        workload_size=form.text("size") or usual.workload_size,
        workload_type=form.text("type") or usual.workload_type,
        scale_to_zero_enabled=form.ticked("zero"),
        idle_timeout_seconds=form.number("idle", "Seconds without a request", usual.idle_timeout_seconds),
    )


async def launch(endpoints: Endpoints, form: Form, ref: ModelRef, creator: str) -> str:
    """Make the endpoint; returns its name. A name that the form leaves open is one that is free.

    Raises what `Endpoints.create` raises.
    """
    config, chosen = ConfigRequest((asked_for(form, ref),)), form.text("name")
    for attempt in range(1, _ATTEMPTS + 1):
        taken = {view.endpoint.name for view in await endpoints.list()}
        name = chosen or free_name(ref.name, taken)
        try:
            return (await endpoints.create(EndpointRequest(name, config, creator))).endpoint.name
        except AlreadyExists:
            if chosen or attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def routes(site: Site) -> list[Route]:
    """The routes of the action."""

    async def start(request: Request) -> Response:
        model = request.path_params["name"]
        try:
            form = await read_form(request)
            reference = form.text("reference") or await _usual(site, model)
            creator = principal_of(request).name
            name = await launch(site.sources.endpoints, form, ModelRef(model, reference), creator)
        except TidegateError as error:
            return site.go(path_of(model), Flash("bad", error.message))
        return site.go(f"/endpoints/{name}/build")

    return [Route("/models/{name}/launch", start, methods=["POST"])]


async def _usual(site: Site, model: str) -> str:
    ref = usual_reference((await site.sources.catalog.describe(model)).details.model)
    if ref is None:
        raise NotFound(f"Model '{model[:80]}' has no version to serve. Register one first.")
    return ref.version
