"""What an endpoint should serve as its pointers move: every state of an endpoint, every way a pointer can be."""

from dataclasses import replace
from typing import Any

import pytest

from tests.core.examples import a_config, an_endpoint
from tidegate.core.endpoint.endpoint import (
    FOLLOWER,
    ROLLBACK,
    Endpoint,
    EndpointConfig,
    FailedConfig,
    ParkedConfig,
    PendingConfig,
    Route,
)
from tidegate.core.endpoint.revision import revision_id
from tidegate.core.endpoint.served_entity import (
    ModelRef,
    ModelVersion,
    ServedEntity,
    default_served_name,
)
from tidegate.core.planes.route_table import compile_table
from tidegate.core.rollout.following import Followed, follow, followed_by
from tidegate.core.rollout.pointers import ModelPointers, Pointer, is_pointer

CHAMPION, PRODUCTION = ModelRef("wine", "@champion"), ModelRef("wine", "Production")


def following(version: int, ref: ModelRef = CHAMPION, name: str = "it", **fields: Any) -> ServedEntity:
    """A served entity that follows a pointer, which meant this version."""
    return ServedEntity(name, ref, ModelVersion("wine", str(version)), **fields)


def at(version: int, number: int = 1, ref: ModelRef = CHAMPION, **fields: Any) -> EndpointConfig:
    return a_config(following(version, ref, **fields), version=number)


def champion(version: int, ready: bool = True) -> dict[str, ModelPointers]:
    return {"wine": ModelPointers({"champion": Pointer(str(version), ready)})}


def pending(config: EndpointConfig, by: str = FOLLOWER) -> PendingConfig:
    return PendingConfig(config, 1.0, by)


def failed(config: EndpointConfig) -> FailedConfig:
    return FailedConfig(config, "It does not load.")


def versions(endpoint: Endpoint) -> tuple[str | None, ...]:
    """What is active, pending and failed, by the version of its first entity."""
    attempts = (endpoint.pending, endpoint.failed)
    configs = (endpoint.active, *(attempt.config if attempt else None for attempt in attempts))
    return tuple(config.served_entities[0].resolved.version if config else None for config in configs)


def kinds(followed: Followed) -> list[str]:
    return [kind for kind, _ in followed.news]


GONE: dict[str, ModelPointers] = {"wine": ModelPointers()}
NO_MODEL: dict[str, ModelPointers] = {}

# --- what follows


@pytest.mark.parametrize(
    ("version", "follows"),
    [("3", False), ("latest", False), ("@champion", True), ("@3", True), ("Production", True), ("staging", True),
     ("None", True), ("archived", True)],
)  # fmt: skip
def test_aliases_and_stages_follow_and_nothing_else(version: str, follows: bool) -> None:
    assert is_pointer(ModelRef("wine", version)) is follows


def test_what_serves_and_what_is_on_its_way_is_followed() -> None:
    endpoint = an_endpoint(active=at(1), pending=pending(at(1, 2, PRODUCTION)), failed=failed(at(1, 3)))
    assert followed_by(endpoint) == {CHAMPION, PRODUCTION}
    assert followed_by(an_endpoint(active=a_config(), failed=failed(at(1)))) == set()
    assert followed_by(an_endpoint(failed=failed(at(1)))) == {CHAMPION}
    assert followed_by(replace(endpoint, deleted_at=2.0)) == set()


# --- moves: active, pending and failed before; where the pointer is; active, pending and failed after

_MOVES = [
    # nothing moved
    ((3, None, None), 3, None),
    ((3, 4, None), 4, None),
    ((None, 3, None), 3, None),
    ((None, None, 3), 3, None),
    # it moved
    ((3, None, None), 4, (3, 4, None)),
    ((3, None, None), 2, (3, 2, None)),
    ((None, 3, None), 4, (None, 4, None)),
    ((None, None, 3), 4, (None, 4, None)),
    # it moved on, or back, while an update is on its way
    ((3, 4, None), 5, (3, 5, None)),
    ((3, 4, None), 3, (3, None, None)),
    # what has failed is not tried again until it moves
    ((3, None, 4), 4, None),
    ((3, None, 4), 5, (3, 5, None)),
    ((3, None, 4), 3, (3, None, None)),
]


@pytest.mark.parametrize(("before", "pointer", "after"), _MOVES)
def test_an_endpoint_follows(
    before: tuple[int | None, ...], pointer: int, after: tuple[int | None, ...] | None
) -> None:
    active, coming, broken = before
    endpoint = an_endpoint(
        active=None if active is None else at(active),
        pending=None if coming is None else pending(at(coming, 2)),
        failed=None if broken is None else failed(at(broken, 2)),
    )
    followed = follow(endpoint, champion(pointer), 9.0)
    if after is None:
        assert followed is None
        return
    assert followed is not None
    assert versions(followed.endpoint) == tuple(None if version is None else str(version) for version in after)
    assert followed.endpoint.generation == endpoint.generation + 1
    assert follow(followed.endpoint, champion(pointer), 9.5) is None


def test_a_promotion_is_told_with_what_it_was() -> None:
    followed = follow(an_endpoint(active=at(3, 7)), champion(4), 9.0)
    assert followed is not None
    assert followed.endpoint.pending == PendingConfig(at(4, 8), 9.0, FOLLOWER)
    assert followed.news == (
        ("promotion_seen", "'@champion' of model 'wine' is now version 4; this endpoint had version 3."),
        ("update_started", "Configuration 8 (wine/4) is being prepared."),
    )


def test_a_way_back_is_told_and_leaves_nothing_to_do() -> None:
    for attempt in ({"pending": pending(at(4, 8))}, {"failed": failed(at(4, 8))}):
        followed = follow(an_endpoint(active=at(3, 7), **attempt), champion(3), 9.0)
        assert followed is not None
        assert followed.news == (
            ("promotion_seen", "'@champion' of model 'wine' is now version 3; this endpoint had version 4."),
            ("update_dropped", "Configuration 8 is dropped: what serves is asked for again."),
        )
        assert followed.endpoint.observed_generation == followed.endpoint.generation


def test_after_a_way_back_the_same_promotion_is_tried_again() -> None:
    back = follow(an_endpoint(active=at(3), failed=failed(at(4, 2))), champion(3), 9.0)
    assert back is not None
    again = follow(back.endpoint, champion(4), 10.0)
    assert again is not None
    assert versions(again.endpoint) == ("3", "4", None)


def test_a_stage_in_any_case() -> None:
    for asked in ("Production", "production"):
        endpoint = an_endpoint(active=at(3, ref=ModelRef("wine", asked)))
        followed = follow(endpoint, {"wine": ModelPointers({}, {"Production": Pointer("4")})}, 9.0)
        assert followed is not None
        assert versions(followed.endpoint) == ("3", "4", None)


def test_an_exact_version_never_moves_beside_one_that_does() -> None:
    pointers = {"wine": ModelPointers({"champion": Pointer("5")}, {"Production": Pointer("5")})}
    exact = ServedEntity("exact", ModelRef("wine", "3"), ModelVersion("wine", "3"))
    assert follow(an_endpoint(active=a_config(exact)), pointers, 9.0) is None
    routes = (Route("exact", 90), Route("it", 10))
    followed = follow(an_endpoint(active=a_config(exact, following(4), routes=routes)), pointers, 9.0)
    assert followed is not None
    assert followed.endpoint.pending is not None
    config = followed.endpoint.pending.config
    assert [entity.resolved.version for entity in config.served_entities] == ["3", "5"]
    assert config.routes == routes


def test_names_and_routes_stay_over_promotions() -> None:
    entity = following(3, name=default_served_name(CHAMPION))
    assert entity.name == "wine-champion"
    endpoint = an_endpoint(active=a_config(entity))
    followed = follow(endpoint, champion(4), 9.0)
    assert followed is not None
    old, new = (compile_table([e], "agent").endpoints["wine"] for e in (endpoint, followed.endpoint.promoted(9.5)))
    assert list(old.served) == list(new.served) == ["wine-champion"]
    assert old.served["wine-champion"] != new.served["wine-champion"]
    moved = replace(entity, resolved=ModelVersion("wine", "4"))
    assert new.weights == ((revision_id(endpoint.id, moved), 100),)


# --- users' own updates


def test_a_users_update_that_follows_moves_too_and_stays_the_users() -> None:
    endpoint = an_endpoint(active=a_config(), pending=pending(at(3, 2), by="maria"))
    followed = follow(endpoint, champion(4), 9.0)
    assert followed is not None
    assert followed.endpoint.pending == PendingConfig(at(4, 3), 9.0, "maria")


def test_a_users_update_to_an_exact_version_is_left_alone() -> None:
    endpoint = an_endpoint(active=at(3), pending=pending(a_config(version=2), by="maria"))
    assert follow(endpoint, champion(4), 9.0) is None


def test_a_users_update_to_the_very_same_is_left_alone() -> None:
    endpoint = an_endpoint(active=at(3), pending=pending(at(3, 2), by="maria"))
    assert follow(endpoint, champion(3), 9.0) is None


def test_a_users_failed_update_to_something_else_stays_to_be_seen() -> None:
    endpoint = an_endpoint(active=at(3), failed=failed(at(3, 2, workload_size="Large")))
    assert follow(endpoint, champion(3), 9.0) is None
    followed = follow(endpoint, champion(4), 9.0)
    assert followed is not None
    assert followed.endpoint.pending is not None
    assert followed.endpoint.pending.config == at(4, 3)


# --- pointers that are gone, or not ready


@pytest.mark.parametrize("pointers", [GONE, NO_MODEL])
@pytest.mark.parametrize(
    "endpoint",
    [
        an_endpoint(active=at(3)),
        an_endpoint(active=at(2), pending=pending(at(3, 2))),
        an_endpoint(failed=failed(at(3))),
    ],
)
def test_a_pointer_that_is_gone_changes_nothing_and_is_told_once(
    endpoint: Endpoint, pointers: dict[str, ModelPointers]
) -> None:
    followed = follow(endpoint, pointers, 9.0)
    assert followed is not None
    assert followed.endpoint == replace(endpoint, lost=(CHAMPION,))
    ((kind, sentence),) = followed.news
    assert kind == "pointer_lost"
    assert sentence == (
        "'@champion' of model 'wine' is gone: nothing changes, version 3 stays. "
        "Set the alias again, or update the endpoint."
    )
    assert follow(followed.endpoint, pointers, 10.0) is None


def test_an_empty_stage_says_what_to_do() -> None:
    followed = follow(an_endpoint(active=at(3, ref=PRODUCTION)), GONE, 9.0)
    assert followed is not None
    ((_, sentence),) = followed.news
    assert sentence == (
        "No version of model 'wine' is in stage 'Production' any more: nothing changes, version 3 stays. "
        "Move a version there, or update the endpoint."
    )


def test_a_pointer_that_comes_back_is_told_and_may_be_lost_again() -> None:
    lost = an_endpoint(active=at(3), lost=(CHAMPION,))
    back = follow(lost, champion(3), 9.0)
    assert back is not None
    assert back.news == (("pointer_found", "'@champion' of model 'wine' is there again."),)
    assert back.endpoint == an_endpoint(active=at(3))
    again = follow(back.endpoint, GONE, 10.0)
    assert again is not None
    assert kinds(again) == ["pointer_lost"]


def test_a_pointer_that_comes_back_elsewhere_is_followed() -> None:
    followed = follow(an_endpoint(active=at(3), lost=(CHAMPION,)), champion(5), 9.0)
    assert followed is not None
    assert kinds(followed) == ["pointer_found", "promotion_seen", "update_started"]
    assert followed.endpoint.lost == ()


def test_one_of_two_pointers_moves_while_the_other_is_gone() -> None:
    endpoint = an_endpoint(active=a_config(following(3), following(3, PRODUCTION, "stage")))
    followed = follow(endpoint, champion(4), 9.0)
    assert followed is not None
    assert kinds(followed) == ["pointer_lost", "promotion_seen", "update_started"]
    assert followed.endpoint.lost == (PRODUCTION,)


def test_a_version_that_is_not_ready_is_waited_for_in_silence() -> None:
    endpoint = an_endpoint(active=at(3))
    assert follow(endpoint, champion(4, ready=False), 9.0) is None
    assert follow(endpoint, champion(4), 9.0) is not None


def test_what_follows_nothing_any_more_has_nothing_to_miss() -> None:
    followed = follow(an_endpoint(active=a_config(), lost=(CHAMPION,)), {}, 9.0)
    assert followed == Followed(an_endpoint(active=a_config()), ())


@pytest.mark.parametrize("endpoint", [an_endpoint(), an_endpoint(active=at(3), deleted_at=2.0)])
def test_what_is_not_there_follows_nothing(endpoint: Endpoint) -> None:
    assert follow(endpoint, champion(4), 9.0) is None


# --- what a rollback took away


def rolled_back(version: int = 3, taken: int = 4, ref: ModelRef = CHAMPION, **fields: Any) -> Endpoint:
    """An endpoint that serves this version, and that a rollback took another one from."""
    rejected = ((ref, ModelVersion("wine", str(taken))),)
    return an_endpoint(active=at(version, ref=ref), rejected=rejected, **fields)


@pytest.mark.parametrize("pointers", [champion(4), GONE, NO_MODEL])
def test_what_a_rollback_took_away_stays_away_while_its_pointer_has_not_moved(
    pointers: dict[str, ModelPointers],
) -> None:
    endpoint = rolled_back()
    followed = follow(endpoint, pointers, 9.0)
    after = endpoint if followed is None else followed.endpoint
    assert versions(after) == ("3", None, None)
    assert after.rejected == endpoint.rejected
    back = follow(after, champion(4), 10.0)
    assert versions(after if back is None else back.endpoint) == ("3", None, None)


@pytest.mark.parametrize(("pointer", "coming"), [(5, "5"), (2, "2"), (3, None)])
def test_once_its_pointer_has_moved_anything_is_followed_again(pointer: int, coming: str | None) -> None:
    followed = follow(rolled_back(), champion(pointer), 9.0)
    assert followed is not None
    assert versions(followed.endpoint) == ("3", coming, None)
    assert followed.endpoint.rejected == ()
    again = follow(followed.endpoint, champion(4), 10.0)
    assert again is not None
    assert versions(again.endpoint) == ("3", "4", None)


def test_a_pointer_that_moved_to_what_is_not_ready_has_moved() -> None:
    followed = follow(rolled_back(), champion(5, ready=False), 9.0)
    assert followed == Followed(an_endpoint(active=at(3)), ())


def test_one_pointer_moves_while_another_ones_version_stays_away() -> None:
    entities = following(3), following(3, PRODUCTION, "stage")
    endpoint = an_endpoint(active=a_config(*entities), rejected=((CHAMPION, ModelVersion("wine", "4")),))
    pointers = {"wine": ModelPointers({"champion": Pointer("4")}, {"Production": Pointer("4")})}
    followed = follow(endpoint, pointers, 9.0)
    assert followed is not None
    assert followed.endpoint.pending is not None
    assert [one.resolved.version for one in followed.endpoint.pending.config.served_entities] == ["3", "4"]
    assert followed.endpoint.rejected == endpoint.rejected
    assert [sentence for _, sentence in followed.news] == [
        "'Production' of model 'wine' is now version 4; this endpoint had version 3.",
        "Configuration 2 (wine/3 100 %, wine/4 0 %) is being prepared.",
    ]


@pytest.mark.parametrize("pointer", [3, 4, 5])
def test_a_rollback_goes_first(pointer: int) -> None:
    back = PendingConfig(at(3), 1.0, ROLLBACK, forced=True)
    endpoint = replace(rolled_back(), active=at(4, 2), pending=back)
    followed = follow(endpoint, champion(pointer), 9.0)
    after = endpoint if followed is None else followed.endpoint
    assert (versions(after), after.pending) == (("4", "3", None), back)
    assert bool(after.rejected) is (pointer == 4)


def test_a_rollback_that_failed_stays_to_be_seen() -> None:
    endpoint = replace(rolled_back(), active=at(4, 2), failed=failed(at(3)))
    assert follow(endpoint, champion(4), 9.0) is None


def test_what_is_parked_is_not_followed() -> None:
    endpoint = an_endpoint(active=a_config(), previous=ParkedConfig(at(3), 1.0))
    assert followed_by(endpoint) == set()
    assert follow(endpoint, champion(4), 9.0) is None


def test_the_next_configuration_has_a_number_that_none_had() -> None:
    followed = follow(replace(rolled_back(), newest_version=7), champion(5), 9.0)
    assert followed is not None
    assert followed.endpoint.pending == PendingConfig(at(5, 8), 9.0, FOLLOWER)


# --- models that were registered anew

OLD, NEW, LATER = 500, 900, 1500  # of an endpoint that was changed last at 1000 ms; 0 is a record from before


def since(version: int, registered_at: int, number: int = 1) -> EndpointConfig:
    """A configuration at a version of the model that was registered then."""
    entity = replace(following(version), resolved=ModelVersion("wine", str(version), registered_at))
    return a_config(entity, version=number)


@pytest.mark.parametrize(
    ("served", "pointed", "moves"),
    [
        (OLD, OLD, False),
        (OLD, NEW, True),
        (OLD, LATER, True),
        (LATER, OLD, True),  # renamed away and back
        (0, OLD, False),
        (0, LATER, True),  # what was registered since is not what the record means
        (0, 0, False),
        (OLD, 0, False),
    ],
)
def test_a_number_alone_does_not_make_a_version(served: int, pointed: int, moves: bool) -> None:
    endpoint = an_endpoint(active=since(3, served))
    pointers = {"wine": ModelPointers({"champion": Pointer("3", registered_at=pointed)})}
    followed = follow(endpoint, pointers, 9.0)
    assert (followed is not None) is moves
    if followed is not None:
        assert followed.endpoint.pending is not None
        assert followed.endpoint.pending.config == since(3, pointed, 2)
        assert follow(followed.endpoint, pointers, 10.0) is None


@pytest.mark.parametrize(("known", "again"), [(0, False), (OLD, False), (NEW, True)])
def test_what_has_failed_is_tried_again_once_its_model_was_registered_anew(known: int, again: bool) -> None:
    endpoint = an_endpoint(active=since(3, OLD), failed=failed(since(4, known, 2)))
    followed = follow(endpoint, {"wine": ModelPointers({"champion": Pointer("4", registered_at=OLD)})}, 9.0)
    assert (followed is not None) is again


@pytest.mark.parametrize(("known", "again"), [(0, False), (OLD, False), (NEW, True)])
def test_what_a_rollback_took_away_is_forgotten_once_its_model_was_registered_anew(known: int, again: bool) -> None:
    rejected = ((CHAMPION, ModelVersion("wine", "4", known)),)
    endpoint = an_endpoint(active=since(3, OLD), rejected=rejected)
    followed = follow(endpoint, {"wine": ModelPointers({"champion": Pointer("4", registered_at=OLD)})}, 9.0)
    assert (followed is not None) is again
    if followed is not None:
        assert (versions(followed.endpoint), followed.endpoint.rejected) == (("3", "4", None), ())


def test_a_user_who_asks_anew_for_what_a_record_from_before_serves_is_not_overruled() -> None:
    endpoint = an_endpoint(active=since(3, 0), pending=pending(since(3, OLD, 2), by="admin"))
    assert follow(endpoint, {"wine": ModelPointers({"champion": Pointer("3", registered_at=OLD)})}, 9.0) is None
