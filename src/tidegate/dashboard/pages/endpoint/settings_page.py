"""The settings of an endpoint: what its served entities may use, what was proved of them, its replicas and tags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.endpoints.endpoint_views import EndpointView, ReplicaView
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.revision import Proof, revision_id, revision_ids
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.endpoint.status import Deployment, EntityStatus
from tidegate.core.legacy_products.enablement import PRODUCT_TITLES
from tidegate.core.rollout.pointers import is_pointer
from tidegate.dashboard.pages.endpoint.endpoint_frame import framed
from tidegate.dashboard.pages.endpoint_changes.update_form import BATCHINGS
from tidegate.dashboard.pages.endpoint_overview.overview_parts import BATCHING_WORDS, START_WORDS
from tidegate.dashboard.site import Site


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something that trials have shown of a served entity: in a word, as a sentence, and why it is no better."""

    title: str
    mode: str
    sentence: str
    reason: str


@dataclass(frozen=True, slots=True)
class EntitySettings:
    """A served entity. Variables are names alone: values may be secret. `facts` are pairs of a title and a text."""

    name: str
    model: str
    follows: str
    share: int
    state: str
    message: str
    facts: tuple[tuple[str, str], ...]
    variables: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """A process that predicts. `cores` is its use since it was started, in cores."""

    id: str
    entity: str
    state: str
    pid: int
    since: float
    is_forked: bool
    memory: float
    cpu_seconds: float
    cores: float


@dataclass(frozen=True, slots=True)
class SettingsPage:
    """The view model of the page. `product` is the older product that the endpoint belongs to; empty for none."""

    id: str
    creator: str
    created_at: float
    updated_at: float
    description: str
    entities: tuple[EntitySettings, ...]
    replicas: tuple[ReplicaRow, ...]
    tags: tuple[tuple[str, str], ...]
    product: str


def settings_page(view: EndpointView, replicas: Sequence[ReplicaView], now: float) -> SettingsPage:
    """The view model."""
    endpoint = view.endpoint
    config = endpoint.active or endpoint.latest_config
    wanted = {rid for one in endpoint.wanted for rid in revision_ids(endpoint.id, one).values()}
    shares = {route.served_entity: route.traffic_percentage for route in config.routes} if config else {}
    return SettingsPage(
        endpoint.id,
        endpoint.creator,
        endpoint.created_at,
        endpoint.updated_at,
        endpoint.description,
        tuple(
            _entity(endpoint, entity, shares.get(entity.name, 0), view.status.entities)
            for entity in (config.served_entities if config else ())
        ),
        tuple(_replica(replica, now, is_parked=replica.revision not in wanted) for replica in replicas),
        endpoint.tags,
        PRODUCT_TITLES[endpoint.face.product] if endpoint.face else "",
    )


def _entity(endpoint: Endpoint, entity: ServedEntity, share: int, known: Mapping[Any, EntityStatus]) -> EntitySettings:
    status = known.get(revision_id(endpoint.id, entity), EntityStatus(Deployment.CREATING))
    return EntitySettings(
        entity.name,
        f"{entity.resolved.name} v{entity.resolved.version}",
        _follows(endpoint, entity),
        share,
        status.deployment.value.removeprefix("DEPLOYMENT_").lower(),
        status.message,
        _facts(entity),
        tuple(name for name, _ in entity.environment_vars),
        verdicts(status.proof),
    )


def _follows(endpoint: Endpoint, entity: ServedEntity) -> str:
    if not is_pointer(entity.model):
        return ""
    if entity.model in endpoint.lost:
        return f"{entity.model.version} points to nothing any more"
    taken_away = any(model == entity.model and version != entity.resolved for model, version in endpoint.rejected)
    return f"{entity.model.version}, but rolled back" if taken_away else entity.model.version


def _facts(entity: ServedEntity) -> tuple[tuple[str, str], ...]:
    scaling = entity.scaling
    zero = f"after {entity.idle_timeout_seconds:g} s without a request" if scaling.min_replicas == 0 else "never"
    return (
        ("Size", f"{entity.workload_size}, {entity.workload_type}"),
        ("Replicas", f"{scaling.min_replicas} to {scaling.max_replicas}"),
        ("Sleeps", zero),
        ("Time limit", f"{entity.timeout_seconds:g} s for a request"),
        ("Batching", BATCHINGS[entity.batching]),
        ("After a crash", "the request is run again" if entity.retry_on_crash else "the request is not run again"),
        ("Trials", "may ask the model" if entity.trials else "ask the model nothing but its example"),
    )


_PATH_WORDS = {
    "compiled": "Requests are read by a parser made from the signature.",
    "stock": "MLflow's own checks read each request.",
}
_EXAMPLE_WORDS = {
    "input_example": "The first replica has answered the model's own input example.",
    "signature": "The first replica has answered a row made up from the signature.",
}


def verdicts(proof: Proof | None) -> tuple[Verdict, ...]:
    """What trials have shown; empty before them."""
    if proof is None:
        return ()
    found = (
        ("Batching", proof.batching, BATCHING_WORDS),
        ("Request path", proof.path, _PATH_WORDS),
        ("Replicas", proof.start, START_WORDS),
    )
    shown = []
    for title, value, words in found:
        if value is not None:
            mode = str(value.get("mode") or "unknown")
            shown.append(Verdict(title, mode, words.get(mode, ""), str(value.get("reason") or "")))
    sentence = _EXAMPLE_WORDS.get(proof.example, "The first replica was asked nothing.")
    return (*shown, Verdict("Readiness", proof.example.replace("_", " "), sentence, proof.warning))


def _replica(view: ReplicaView, now: float, *, is_parked: bool) -> ReplicaRow:
    replica = view.replica
    age = max(1.0, now - replica.started_at)
    return ReplicaRow(
        replica.id,
        view.served_entity,
        "parked" if is_parked and replica.state.value == "ready" else replica.state.value,
        replica.pid,
        replica.started_at,
        replica.forked,
        float(replica.memory_bytes),
        replica.cpu_seconds,
        replica.cpu_seconds / age,
    )


def routes(site: Site) -> list[Route]:
    """The routes of the page."""

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        view, values = await framed(site, name, "Settings")
        replicas = await site.sources.endpoints.replicas(name)
        shown = settings_page(view, replicas, site.sources.clock.now())
        return site.page(request, "settings_page.html", values | {"view": shown}, section="Endpoints")

    return [Route("/endpoints/{name}/settings", show)]
