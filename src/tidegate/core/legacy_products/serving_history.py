"""The events of an enabled model, as the older products show them: by subject, version and stage."""

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

    MODEL = "model"  # the model as a whole
    SERVICE = "service"  # the version and the compute configuration of a stage
    VERSION = "version"  # the progress of a version
    CONTAINER = "container"  # replicas


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One event. `version` is empty in events of a stage's endpoint on a version that does not serve."""

    at: float  # unix seconds
    subject: Subject
    message: str
    version: str = ""
    stage: str = ""


# The kinds of events on the progress of a version, and on an endpoint as a whole. All others are on replicas.
_OF_VERSIONS = frozenset({"preparing", "starting", "ready", "failed"})
_OF_SWITCHES = frozenset({"promoted", "rolled_back"})
_OF_ENDPOINTS = _OF_SWITCHES | {
    "created", "deleted", "update_started", "update_dropped", "update_failed", "rollback_started",
    "held_back", "promotion_seen", "pointer_lost", "pointer_found",
}  # fmt: skip


def of_replicas(entity: ServedEntity, sentence: str) -> str:
    """The sentence of an event on replicas. It names the exact version, as a stage may have two at once."""
    model = entity.resolved
    return f"'{entity.name}' ({model.name}/{model.version}): {sentence}"


def model_history(enablement: Enablement) -> Iterator[HistoryEvent]:
    """The events on the enablement and its compute configurations."""
    title = PRODUCT_TITLES[enablement.product]
    yield HistoryEvent(enablement.enabled_at, Subject.MODEL, f"{title} was enabled by {enablement.creator}.")
    for compute in enablement.computes:
        zero = "with" if compute.scale_to_zero_enabled else "without"
        message = f"{compute.stage} is to use size {compute.workload_size_id}, {zero} scale to zero."
        yield HistoryEvent(compute.asked_at, Subject.SERVICE, message, stage=compute.stage)


def endpoint_history(
    endpoint: Endpoint, events: Sequence[tuple[float, str, str]], switches: Sequence[Switch]
) -> Iterator[HistoryEvent]:
    """The events of an endpoint; `events` are its own, each a time, a kind and a sentence."""
    key, model = stands_for(endpoint), endpoint.face.model if endpoint.face else ""
    for at, kind, message in events:
        subject = Subject.CONTAINER
        if kind in _OF_VERSIONS:
            subject = Subject.VERSION
        elif kind in _OF_ENDPOINTS:
            subject = Subject.SERVICE
        if key not in SERVED_STAGES:
            yield HistoryEvent(at, subject, message, version=key)
        else:
            version = _serving(switches, at) if kind in _OF_SWITCHES else ""
            yield HistoryEvent(
                at, subject, message, _whose(model, message) if subject is Subject.CONTAINER else version, key
            )


def _serving(switches: Sequence[Switch], at: float) -> str:
    """The version that a stage's endpoint served at `at`."""
    before = [switch for switch in switches if switch.at <= at]
    return _version(before[-1].after) if before else ""


def _whose(model: str, message: str) -> str:
    """The version that an event on replicas names, see `of_replicas`; empty in older events."""
    found = re.match(rf"(?:Served entity )?'[^']*' \({re.escape(model)}/(\d+)\): ", message)
    return found[1] if found else ""


def _version(side: Side) -> str:
    return next(iter(side.versions.values())).version
