"""What an endpoint should serve now that aliases and stages point where they do.

Level-triggered: it compares what was asked for with what the registry says, from whatever state; an endpoint remembers
only which of its pointers are gone, and what a rollback took away. An exact version never moves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tidegate.core.endpoint.endpoint import (
    FOLLOWER,
    ROLLBACK,
    Endpoint,
    EndpointConfig,
    Meaning,
    ModelRef,
    ModelVersion,
    ServedEntity,
)
from tidegate.core.rollout.pointers import ModelPointers, Pointer, is_pointer

Pointers = Mapping[str, ModelPointers]
"""The pointers of models, by their names. The registry has no model that is not in it."""

News = tuple[str, str]
"""An event's kind and its sentence."""


@dataclass(frozen=True, slots=True)
class Followed:
    """An endpoint as it should be now, and what its owner is told."""

    endpoint: Endpoint
    news: tuple[News, ...]


def followed_by(endpoint: Endpoint) -> frozenset[ModelRef]:
    """The aliases and stages that an endpoint follows, by what serves and what is on its way."""
    if endpoint.deleted_at is not None:
        return frozenset()
    configs = endpoint.wanted
    if not configs and endpoint.failed is not None:
        configs = (endpoint.failed.config,)
    return frozenset(entity.model for config in configs for entity in _following(config))


def follow(endpoint: Endpoint, pointers: Pointers, now: float) -> Followed | None:
    """The endpoint as it should be; None when it is so already.

    What is on its way moves with its pointers; else what serves does, or what has failed where nothing ever served.
    What has failed is not tried again until a pointer moves, nor is what a rollback took away. A rollback itself is on
    its way for one pass only: it goes first. A pointer that is gone, or at a version that is not ready, moves nothing.
    """
    asked, attempt = _asked(endpoint), endpoint.latest_config
    if asked is None or attempt is None or endpoint.deleted_at is not None:
        return None
    lost, rejected = _lost(asked, pointers), _rejected(asked, pointers, endpoint)
    meant, again = (_resolved(config, pointers, endpoint, rejected) for config in (asked, attempt))
    moved = _moved(endpoint, meant, attempt, again, now)
    after = replace(moved, lost=lost, rejected=rejected)
    if after == endpoint:
        return None
    news = [*_of_losses(asked, lost, endpoint.lost)]
    if moved is not endpoint:
        before = attempt if _same(again, meant) else asked
        news += [*_of_moves(before, meant), _outcome(moved, attempt)]
    return Followed(after, tuple(news))


def recorded(endpoint: Endpoint, version: ModelVersion) -> ModelVersion:
    """The version as the endpoint has it on record already, where it has.

    A record from before `registered_at` was known stands for the version that there was when the endpoint was changed
    last: that is not rolled out anew only because more is known of it.
    """
    attempt = (endpoint.failed.config,) if endpoint.failed else ()
    meanings = [meaning for config in (*endpoint.configs, *attempt) for meaning in config.meanings]
    known = [one for _, one in (*meanings, *endpoint.rejected)]
    if version in known or version.registered_at > endpoint.updated_at * 1000:
        return version
    return next((one for one in known if _may_be(one, version)), version)


def _may_be(one: ModelVersion, other: ModelVersion) -> bool:
    """Whether they are the same, as far as is known."""
    unknown = 0 in (one.registered_at, other.registered_at)
    return one == other or (unknown and (one.name, one.version) == (other.name, other.version))


def _asked(endpoint: Endpoint) -> EndpointConfig | None:
    """The configuration whose pointers count."""
    if endpoint.pending is not None:
        return endpoint.pending.config
    return endpoint.active or endpoint.latest_config


def _moved(
    endpoint: Endpoint, meant: EndpointConfig, attempt: EndpointConfig, again: EndpointConfig, now: float
) -> Endpoint:
    """The endpoint with what is meant now on its way, unless it was attempted already or serves.

    `again` is what the attempt would mean now.
    """
    by = endpoint.pending.by if endpoint.pending else FOLLOWER  # a user's own update stays one
    if by == ROLLBACK or _same(meant, attempt):
        return endpoint
    if endpoint.active is None or not _same(meant, endpoint.active):
        return endpoint.with_update(replace(meant, version=endpoint.next_version), now, by)
    # Back at what serves. A failed attempt at something else altogether stays for its owner to see.
    return endpoint.update_dropped(now) if _same(again, endpoint.active) else endpoint


def _following(config: EndpointConfig) -> Iterator[ServedEntity]:
    return (entity for entity in config.served_entities if is_pointer(entity.model))


def _pointer(ref: ModelRef, pointers: Pointers) -> Pointer | None:
    model = pointers.get(ref.name)
    return None if model is None else model.of(ref)


def _version(ref: ModelRef, pointer: Pointer, endpoint: Endpoint) -> ModelVersion:
    return recorded(endpoint, ModelVersion(ref.name, pointer.version, pointer.registered_at))


def _resolved(
    config: EndpointConfig, pointers: Pointers, endpoint: Endpoint, rejected: tuple[Meaning, ...]
) -> EndpointConfig:
    """The configuration with each pointer at the version that it means now, where that can be and may be served."""

    def resolved(entity: ServedEntity) -> ServedEntity:
        pointer = _pointer(entity.model, pointers) if is_pointer(entity.model) else None
        if pointer is None or not pointer.ready:
            return entity
        version = _version(entity.model, pointer, endpoint)
        return entity if (entity.model, version) in rejected else replace(entity, resolved=version)

    return replace(config, served_entities=tuple(map(resolved, config.served_entities)))


def _lost(config: EndpointConfig, pointers: Pointers) -> tuple[ModelRef, ...]:
    return tuple(dict.fromkeys(e.model for e in _following(config) if _pointer(e.model, pointers) is None))


def _rejected(config: EndpointConfig, pointers: Pointers, endpoint: Endpoint) -> tuple[Meaning, ...]:
    """What stays rejected: where the pointer has not moved since, or is gone, or is none that is followed now."""
    followed = {entity.model for entity in _following(config)}
    now = {ref: pointer for ref in followed if (pointer := _pointer(ref, pointers)) is not None}
    return tuple(
        (ref, version)
        for ref, version in endpoint.rejected
        if ref not in now or _version(ref, now[ref], endpoint) == version
    )


def _same(one: EndpointConfig, other: EndpointConfig) -> bool:
    """Whether they are the same but for their numbers."""
    return one.served_entities == other.served_entities and one.routes == other.routes


# --- what the owner is told


def _of_losses(asked: EndpointConfig, lost: tuple[ModelRef, ...], before: tuple[ModelRef, ...]) -> Iterator[News]:
    stays = {entity.model: entity.resolved.version for entity in _following(asked)}
    for ref, version in stays.items():
        if ref in lost and ref not in before:
            yield "pointer_lost", _loss(ref, version)
        elif ref in before and ref not in lost:
            yield "pointer_found", f"{_name(ref)} is there again."


def _loss(ref: ModelRef, version: str) -> str:
    if ref.alias is not None:
        happened, remedy = f"{_name(ref)} is gone", "Set the alias again"
    else:
        happened = f"No version of model '{ref.name}' is in stage '{ref.version}' any more"
        remedy = "Move a version there"
    return f"{happened}: nothing changes, version {version} stays. {remedy}, or update the endpoint."


def _of_moves(before: EndpointConfig, after: EndpointConfig) -> Iterator[News]:
    moves = {
        old.model: (old.resolved.version, new.resolved.version)
        for old, new in zip(before.served_entities, after.served_entities, strict=True)
        if old.resolved != new.resolved
    }
    for ref, (was, now) in moves.items():
        anew = " of a model that was registered anew" if was == now else ""
        yield "promotion_seen", f"{_name(ref)} is now version {now}{anew}; this endpoint had version {was}."


def _outcome(endpoint: Endpoint, attempt: EndpointConfig) -> News:
    if endpoint.pending is not None:
        return "update_started", f"Configuration {endpoint.pending.config.version} is on its way."
    return "update_dropped", f"Configuration {attempt.version} is dropped: what serves is asked for again."


def _name(ref: ModelRef) -> str:
    return f"'{ref.version}' of model '{ref.name}'"
