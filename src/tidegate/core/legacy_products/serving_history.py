"""What happened to an enabled model, as the older products tell it: by kind, version and stage."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.legacy_products.enablement import PRODUCT_TITLES, SERVED_STAGES, Enablement, stands_for
from tidegate.core.rollout.switch import Side, Switch


class Subject(StrEnum):
    """What an event is about."""

    MODEL = "model"  # that it is served at all
    SERVICE = "service"  # which version a stage's endpoint serves, and on what
    VERSION = "version"  # how far a version is
    CONTAINER = "container"  # replicas


@dataclass(frozen=True, slots=True)
class Told:
    """One event. `version` is empty where the endpoint of a stage tells of one that does not serve; not of replicas."""

    at: float  # unix seconds
    subject: Subject
    message: str
    version: str = ""
    stage: str = ""


# The kinds of events that tell of a version on its way, and of an endpoint as a whole; the rest are of replicas.
_OF_VERSIONS = frozenset({"preparing", "starting", "ready", "failed"})
_OF_SWITCHES = frozenset({"promoted", "rolled_back"})
_OF_ENDPOINTS = _OF_SWITCHES | {
    "created", "deleted", "update_started", "update_dropped", "update_failed", "rollback_started",
    "held_back", "promotion_seen", "pointer_lost", "pointer_found",
}  # fmt: skip


def of_replicas(entity: ServedEntity, sentence: str) -> str:
    """What an event says of a served entity's replicas. It names the exact version: a stage may have two at once."""
    model = entity.resolved
    return f"'{entity.name}' ({model.name}/{model.version}): {sentence}"


def told_of_model(enablement: Enablement) -> Iterator[Told]:
    """That it was enabled, and what its stages were to use."""
    title = PRODUCT_TITLES[enablement.product]
    yield Told(enablement.enabled_at, Subject.MODEL, f"{title} was enabled by {enablement.creator}.")
    for compute in enablement.computes:
        zero = "with" if compute.scale_to_zero_enabled else "without"
        message = f"{compute.stage} is to use size {compute.workload_size_id}, {zero} scale to zero."
        yield Told(compute.asked_at, Subject.SERVICE, message, stage=compute.stage)


def told(endpoint: Endpoint, events: Sequence[tuple[float, str, str]], switches: Sequence[Switch]) -> Iterator[Told]:
    """An endpoint's events, each with its time, kind and sentence."""
    key, model = stands_for(endpoint), endpoint.face.model if endpoint.face else ""
    for at, kind, message in events:
        subject = Subject.CONTAINER
        if kind in _OF_VERSIONS:
            subject = Subject.VERSION
        elif kind in _OF_ENDPOINTS:
            subject = Subject.SERVICE
        if key not in SERVED_STAGES:
            yield Told(at, subject, message, version=key)
        else:
            version = _serving(switches, at) if kind in _OF_SWITCHES else ""
            yield Told(at, subject, message, _whose(model, message) if subject is Subject.CONTAINER else version, key)


def _serving(switches: Sequence[Switch], at: float) -> str:
    """The version that a stage's endpoint served then."""
    before = [switch for switch in switches if switch.at <= at]
    return _version(before[-1].after) if before else ""


def _whose(model: str, message: str) -> str:
    """The version whose replicas an event tells of, see `of_replicas`; empty where it is older than that."""
    found = re.match(rf"(?:Served entity )?'[^']*' \({re.escape(model)}/(\d+)\): ", message)
    return found[1] if found else ""


def _version(side: Side) -> str:
    return next(iter(side.versions.values())).version
