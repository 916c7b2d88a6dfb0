"""Which revision answers a request: the route table that control publishes and gateways follow."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

from tidegate.core.endpoint import Endpoint
from tidegate.core.revision import RevisionId, revision_ids


@dataclass(frozen=True, slots=True)
class RevisionRoute:
    """How a gateway reaches a revision, and how it treats its requests."""

    revision: RevisionId
    endpoint: str
    served_entity: str
    agent: str  # the engine's socket that wakes it and names its replicas
    timeout_seconds: float
    retry_on_crash: bool


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """What is behind an endpoint's name now.

    `weights` are percentages in order; `served` names every revision that can be asked for by its own name.
    `unavailable` is the sentence to answer with while nothing serves; `failed` tells that waiting will not help.
    """

    name: str
    weights: tuple[tuple[RevisionId, int], ...] = ()
    served: Mapping[str, RevisionId] = field(default_factory=dict)
    unavailable: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All that a gateway needs to answer without asking anyone. `version` is a digest of the content.

    `token_hashes` are SHA-256 hex digests of the tokens that may query.
    """

    version: str = ""
    endpoints: Mapping[str, EndpointRoute] = field(default_factory=dict)
    revisions: Mapping[RevisionId, RevisionRoute] = field(default_factory=dict)
    token_hashes: tuple[str, ...] = ()


def compile_table(endpoints: Iterable[Endpoint], agent: str, token_hashes: tuple[str, ...]) -> RouteTable:
    """The route table of these endpoints: their active configurations, whole or not at all."""
    routes: dict[str, EndpointRoute] = {}
    revisions: dict[RevisionId, RevisionRoute] = {}
    for endpoint in endpoints:
        if endpoint.deleted_at is None:
            routes[endpoint.name] = _endpoint_route(endpoint)
            revisions |= {route.revision: route for route in _revision_routes(endpoint, agent)}
    table = RouteTable("", routes, revisions, token_hashes)
    canonical = json.dumps(asdict(table), sort_keys=True, separators=(",", ":"))
    return replace(table, version=hashlib.sha256(canonical.encode()).hexdigest()[:16])


def pick(route: EndpointRoute, chance: float) -> RevisionId | None:
    """The revision for a request that drew `chance`, uniform in [0, 1); None while nothing serves."""
    left = chance * 100
    for revision, percentage in route.weights:
        left -= percentage
        if left < 0:
            return revision
    return None


def _endpoint_route(endpoint: Endpoint) -> EndpointRoute:
    active = endpoint.active
    if active is None:
        if endpoint.failed is not None:
            sentence = f"Endpoint '{endpoint.name}' does not serve: {endpoint.failed.message}"
            return EndpointRoute(endpoint.name, unavailable=sentence, failed=True)
        return EndpointRoute(endpoint.name, unavailable=f"Endpoint '{endpoint.name}' is being created.")
    served = revision_ids(endpoint.id, active)
    weights = tuple(
        (served[route.served_entity], route.traffic_percentage) for route in active.routes if route.traffic_percentage
    )
    return EndpointRoute(endpoint.name, weights, served)


def _revision_routes(endpoint: Endpoint, agent: str) -> Iterable[RevisionRoute]:
    if endpoint.active is None:
        return
    served = revision_ids(endpoint.id, endpoint.active)
    for entity in endpoint.active.served_entities:
        yield RevisionRoute(
            served[entity.name], endpoint.name, entity.name, agent, entity.timeout_seconds, entity.retry_on_crash
        )
