"""Following: updates an endpoint when an alias or a stage of its models points to another version.

It compares the endpoint's configuration with the registry's pointers, whatever happened before. An endpoint remembers
only which of its pointers are lost, and which versions a rollback has rejected. A reference to an exact version follows
nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tidegate.core.endpoint.endpoint import (
    FOLLOWER,
    ROLLBACK,
    Endpoint,
    EndpointConfig,
)
from tidegate.core.endpoint.served_entity import (
    ModelRef,
    ModelVersion,
    ResolvedRef,
    ServedEntity,
)
from tidegate.core.rollout.pointers import ModelPointers, Pointer, is_pointer
from tidegate.core.rollout.switch import side_of

Pointers = Mapping[str, ModelPointers]
"""The pointers of models, by model name. A missing model is missing in the registry too."""

News = tuple[str, str]
"""The kind and the sentence of an event."""


@dataclass(frozen=True, slots=True)
class Followed:
    """An endpoint as it should be now, and the events for its owner."""

    endpoint: Endpoint
    news: tuple[News, ...]


def followed_by(endpoint: Endpoint) -> frozenset[ModelRef]:
    """The aliases and stages that an endpoint follows, in its active and its pending configuration."""
    if endpoint.deleted_at is not None:
        return frozenset()
    configs = endpoint.wanted
    if not configs and endpoint.failed is not None:
        configs = (endpoint.failed.config,)
    return frozenset(entity.model for config in configs for entity in _following(config))


def follow(endpoint: Endpoint, pointers: Pointers, now: float) -> Followed | None:
    """The endpoint with the update that its pointers ask for; None where there is nothing to change.

    The pending configuration follows its pointers, or else the active one, or else the failed one where none ever
    served. A failed or rejected version is not tried again until its pointer moves. While a rollback is pending,
    nothing is followed; that lasts one pass. A pointer that is lost, or whose version is not ready, changes nothing.
    """
    asked, attempt = _asked(endpoint), endpoint.latest_config
    if asked is None or attempt is None or endpoint.deleted_at is not None:
        return None
    lost, rejected = _lost(asked, pointers), _rejected(asked, pointers, endpoint)
    asked_now, attempt_now = (_resolved(config, pointers, endpoint, rejected) for config in (asked, attempt))
    moved = _moved(endpoint, asked_now, attempt, attempt_now, now)
    after = replace(moved, lost=lost, rejected=rejected)
    if after == endpoint:
        return None
    news = [*_loss_events(asked, lost, endpoint.lost)]
    if moved is not endpoint:
        before = attempt if _same(attempt_now, asked_now) else asked
        news += [*_move_events(before, asked_now), _outcome(moved, attempt)]
    return Followed(after, tuple(news))


def recorded(endpoint: Endpoint, version: ModelVersion) -> ModelVersion:
    """The version as the endpoint's configurations have it, where they do, or else the given one.

    Older configurations have no `registered_at`. Such a version stands for the one that the registry had at the
    endpoint's last change, and is not rolled out again.
    """
    attempt = (endpoint.failed.config,) if endpoint.failed else ()
    resolved_refs = [ref for config in (*endpoint.configs, *attempt) for ref in config.resolved_refs]
    known = [one for _, one in (*resolved_refs, *endpoint.rejected)]
    if version in known or version.registered_at > endpoint.updated_at * 1000:
        return version
    return next((one for one in known if _may_be(one, version)), version)


def _may_be(one: ModelVersion, other: ModelVersion) -> bool:
    """Whether two versions may be the same one: equal, or equal but for an unknown time of registration."""
    unknown = 0 in (one.registered_at, other.registered_at)
    return one == other or (unknown and (one.name, one.version) == (other.name, other.version))


def _asked(endpoint: Endpoint) -> EndpointConfig | None:
    """The configuration whose pointers are followed."""
    if endpoint.pending is not None:
        return endpoint.pending.config
    return endpoint.active or endpoint.latest_config


def _moved(
    endpoint: Endpoint, asked_now: EndpointConfig, attempt: EndpointConfig, attempt_now: EndpointConfig, now: float
) -> Endpoint:
    """The endpoint with an update to `asked_now`, unless that was attempted already or is active.

    `attempt_now` is the attempted configuration by today's pointers.
    """
    by = endpoint.pending.by if endpoint.pending else FOLLOWER  # an update by a user stays the user's
    if by == ROLLBACK or _same(asked_now, attempt):
        return endpoint
    if endpoint.active is None or not _same(asked_now, endpoint.active):
        return endpoint.with_update(replace(asked_now, version=endpoint.next_version), now, by)
    # The pointers are back at what is active. A failed update to something else stays for its owner to see.
    return endpoint.update_dropped(now) if _same(attempt_now, endpoint.active) else endpoint


def _following(config: EndpointConfig) -> Iterator[ServedEntity]:
    return (entity for entity in config.served_entities if is_pointer(entity.model))


def _pointer(ref: ModelRef, pointers: Pointers) -> Pointer | None:
    model = pointers.get(ref.name)
    return None if model is None else model.of(ref)


def _version(ref: ModelRef, pointer: Pointer, endpoint: Endpoint) -> ModelVersion:
    return recorded(endpoint, ModelVersion(ref.name, pointer.version, pointer.registered_at))


def _resolved(
    config: EndpointConfig, pointers: Pointers, endpoint: Endpoint, rejected: tuple[ResolvedRef, ...]
) -> EndpointConfig:
    """The configuration with each pointer's version of now, unless that version is not ready or was rejected."""

    def resolved(entity: ServedEntity) -> ServedEntity:
        pointer = _pointer(entity.model, pointers) if is_pointer(entity.model) else None
        if pointer is None or not pointer.ready:
            return entity
        version = _version(entity.model, pointer, endpoint)
        return entity if (entity.model, version) in rejected else replace(entity, resolved=version)

    return replace(config, served_entities=tuple(map(resolved, config.served_entities)))


def _lost(config: EndpointConfig, pointers: Pointers) -> tuple[ModelRef, ...]:
    return tuple(dict.fromkeys(e.model for e in _following(config) if _pointer(e.model, pointers) is None))


def _rejected(config: EndpointConfig, pointers: Pointers, endpoint: Endpoint) -> tuple[ResolvedRef, ...]:
    """The versions that stay rejected: their pointers have not moved, are lost, or are not followed now."""
    followed = {entity.model for entity in _following(config)}
    now = {ref: pointer for ref in followed if (pointer := _pointer(ref, pointers)) is not None}
    return tuple(
        (ref, version)
        for ref, version in endpoint.rejected
        if ref not in now or _version(ref, now[ref], endpoint) == version
    )


def _same(one: EndpointConfig, other: EndpointConfig) -> bool:
    """Whether two configurations are the same but for their numbers."""
    return one.served_entities == other.served_entities and one.routes == other.routes


# --- events


def _loss_events(asked: EndpointConfig, lost: tuple[ModelRef, ...], before: tuple[ModelRef, ...]) -> Iterator[News]:
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


def _move_events(before: EndpointConfig, after: EndpointConfig) -> Iterator[News]:
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
        return "update_started", f"{side_of(endpoint.pending.config)} is being prepared."
    return "update_dropped", f"Configuration {attempt.version} is dropped: what serves is asked for again."


def _name(ref: ModelRef) -> str:
    return f"'{ref.version}' of model '{ref.name}'"
