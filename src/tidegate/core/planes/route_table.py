"""The route table, which control publishes and gateways follow: it says which revision answers a request."""

import hashlib
import json
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter

from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig
from tidegate.core.endpoint.legacy_face import FaceRank, is_stage, key_of
from tidegate.core.endpoint.revision import RevisionId, revision_ids
from tidegate.core.rollout.replay import Replay
from tidegate.core.series.served_label import served_label


@dataclass(frozen=True, slots=True)
class RevisionRoute:
    """The way to a revision, and how its requests are treated."""

    revision: RevisionId
    endpoint: str
    served_entity: str
    agent: str  # the socket of the agent that wakes it and tells its addresses
    timeout_seconds: float
    retry_on_crash: bool
    trials: bool = True
    label: str = ""  # the name of its account and of its series; empty in the table of an older version

    @property
    def may_be_tried(self) -> bool:
        """Whether its requests may be sent once more, to compare the answers."""
        return self.trials and self.retry_on_crash


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """The revisions behind an endpoint's name.

    `weights` are their percentages of the traffic, in order. `served` has the revision of each served name.
    `unavailable` is the answer's sentence while none serves; `failed` tells that waiting does not help. `record` is
    whether requests are recorded for the gate; None leaves that to the gateway's settings.
    """

    name: str
    weights: tuple[tuple[RevisionId, int], ...] = ()
    served: Mapping[str, RevisionId] = field(default_factory=dict)
    unavailable: str = ""
    failed: bool = False
    record: bool | None = None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All that a gateway needs to route without asking anyone. `version` is a digest of the content.

    - `faces`: the routes of the older products' stages and versions, by `Face.id` and key.
    - `replays`: the replays that are ordered. `revisions` has their candidates, to which no endpoint routes yet.
    - `held`: names of endpoints whose requests wait for the next table.
    """

    version: str = ""
    endpoints: Mapping[str, EndpointRoute] = field(default_factory=dict)
    revisions: Mapping[RevisionId, RevisionRoute] = field(default_factory=dict)
    faces: Mapping[str, Mapping[str, EndpointRoute]] = field(default_factory=dict)
    replays: tuple[Replay, ...] = ()
    held: tuple[str, ...] = ()


FaceLead = tuple[FaceRank, str, str, str, EndpointRoute]
"""An endpoint's claim to a key of its face: rank, endpoint name, face id, key, route."""


@dataclass(frozen=True, slots=True)
class Leads:
    """One endpoint's part of a route table, with its digest."""

    endpoint: Endpoint
    agent: str
    route: EndpointRoute
    revisions: tuple[RevisionRoute, ...]
    faces: tuple[FaceLead, ...]
    digest: bytes


def compile_table(
    endpoints: Iterable[Endpoint],
    agent: str,
    known: MutableMapping[str, Leads] | None = None,
    replays: Mapping[str, tuple[Replay, ...]] | None = None,
    held: tuple[str, ...] = (),
) -> RouteTable:
    """The route table of these endpoints. Each is routed by its active configuration, or by that of its switch.

    `known` caches the parts of an earlier table by endpoint id, and is updated: the part of an unchanged endpoint is
    not computed again. `replays` are those that are ordered now, by endpoint id. `held` are names of endpoints.
    """
    known = {} if known is None else known
    leads: dict[str, Leads] = {}
    ordered: list[Replay] = []
    candidates: list[RevisionRoute] = []
    for endpoint in endpoints:
        if endpoint.deleted_at is None:
            before = known.get(endpoint.id)
            same = before is not None and before.endpoint is endpoint and before.agent == agent
            leads[endpoint.id] = before if before is not None and same else _leads(endpoint, endpoint.routed, agent)
            if replays and endpoint.pending and endpoint.id in replays:
                ordered += replays[endpoint.id]
                candidates += _revision_routes(endpoint, endpoint.pending.config, agent)
    known.clear()
    known.update(leads)
    routes = {one.route.name: one.route for one in leads.values()}
    revisions = {route.revision: route for one in leads.values() for route in one.revisions}
    revisions |= {route.revision: route for route in candidates}
    digests = [one.digest for _, one in sorted(leads.items())]
    others = json.dumps([sorted(replay.id for replay in ordered), held]).encode()
    version = hashlib.sha256(b"".join([others, *digests])).hexdigest()[:16]
    return RouteTable(version, routes, revisions, _faces(leads.values()), tuple(ordered), held)


def _faces(leads: Iterable[Leads]) -> Mapping[str, Mapping[str, EndpointRoute]]:
    """The route of each key: that of the best claim, and among equals that of the endpoint whose name is first."""
    claims = [claim for one in leads for claim in one.faces]
    faces: dict[str, dict[str, EndpointRoute]] = {}
    for _, _, face, key, route in sorted(claims, key=itemgetter(0, 1)):
        faces.setdefault(face, {}).setdefault(key, route)
    return faces


def _leads(endpoint: Endpoint, routed: Endpoint, agent: str) -> Leads:
    route, revisions = _endpoint_route(routed), tuple(_revision_routes(routed, routed.active, agent))
    faces = tuple(_face_leads(routed, route))
    claims = [(*claim, asdict(leads)) for *claim, leads in faces]
    canonical = json.dumps([asdict(route), *map(asdict, revisions), claims], sort_keys=True, separators=(",", ":"))
    return Leads(endpoint, agent, route, revisions, faces, hashlib.sha256(canonical.encode()).digest())


def pick(route: EndpointRoute, chance: float) -> RevisionId | None:
    """The revision for a request; None while none serves. `chance` is a random number, uniform in [0, 1)."""
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
    return EndpointRoute(endpoint.name, weights, served, record=endpoint.gate.record if endpoint.gate else None)


def _revision_routes(endpoint: Endpoint, config: EndpointConfig | None, agent: str) -> Iterable[RevisionRoute]:
    if config is None:
        return
    served = revision_ids(endpoint.id, config)
    for entity in config.served_entities:
        yield RevisionRoute(
            served[entity.name],
            endpoint.name,
            entity.name,
            agent,
            entity.timeout_seconds,
            entity.retry_on_crash,
            entity.trials,
            served_label(entity.name, entity.resolved.version),
        )


# --- faces


def _face_leads(endpoint: Endpoint, route: EndpointRoute) -> Iterable[FaceLead]:
    """The endpoint's claims to keys of its face: its stage, and the versions that it serves or will serve."""
    config = endpoint.latest_config
    if endpoint.face is None or config is None or not config.served_entities:
        return
    name, face = endpoint.name, endpoint.face.id
    key = key_of(config.served_entities[0].model.version)
    if route.unavailable:
        route = replace(route, unavailable=_silence(endpoint, config))
    yield FaceRank.OWN, name, face, key, route
    if is_stage(key):
        if endpoint.active is not None:
            yield FaceRank.STAGE, name, face, _version(endpoint.active), route
        if endpoint.active is None or _version(config) != _version(endpoint.active):
            failed = endpoint.pending is None
            silent = EndpointRoute(name, (), {}, _silence(endpoint, config), failed, route.record)
            yield FaceRank.TO_BE, name, face, _version(config), silent


def _version(config: EndpointConfig) -> str:
    return config.served_entities[0].resolved.version


def _silence(endpoint: Endpoint, config: EndpointConfig) -> str:
    """Why a version of a face does not serve."""
    entity = config.served_entities[0]
    what = f"Version {entity.resolved.version} of model '{entity.resolved.name}'"
    if endpoint.pending is None and endpoint.failed is not None:
        return f"{what} does not serve: {endpoint.failed.message}"
    return f"{what} is being started."
