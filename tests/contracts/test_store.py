"""What every Store promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.store import FakeStore
from tidegate.adapters.store.sql_store import SqlStore
from tidegate.core.access.session import Session
from tidegate.core.endpoint.endpoint import (
    FOLLOWER,
    ROLLBACK,
    Endpoint,
    EndpointConfig,
    FailedConfig,
    ParkedConfig,
    PendingConfig,
    Route,
    Switching,
)
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Environment, EnvironmentDigest, Proof, Revision, RevisionId, revision_id
from tidegate.core.endpoint.served_entity import (
    Batching,
    ModelRef,
    ModelVersion,
    ServedEntity,
)
from tidegate.core.errors import AlreadyExists, Conflict, NotFound
from tidegate.core.legacy_products.enablement import Compute, Enablement
from tidegate.core.rollout.switch import Side, Switch
from tidegate.ports import MAX_SWITCHES, Event, Store

ENTITY = ServedEntity(
    "wine-1",
    ModelRef("wine", "@champion"),
    ModelVersion("wine", "1", 1_700_000_000_123),
    max_provisioned_concurrency=8,
    environment_vars=(("LIMIT", "3"), ("NAME", "ü'\"\n")),
    batching=Batching.OFF,
)
CONFIG = EndpointConfig(1, (ENTITY,), (Route("wine-1", 100),))
FULL = Endpoint(
    "e1",
    "wine",
    "admin",
    1_700_000_000.25,
    1_700_000_001.5,
    active=CONFIG,
    pending=PendingConfig(replace(CONFIG, version=2), 1_700_000_002.0, ROLLBACK, forced=True),
    failed=FailedConfig(replace(CONFIG, version=3), "It does not load."),
    description="Reds and whites.",
    tags=(("team", "cellar"), ("tier", "")),
    route_optimized=True,
    generation=4,
    observed_generation=3,
    previous=ParkedConfig(replace(CONFIG, version=4), 1_700_000_003.0, FOLLOWER),
    lost=(ModelRef("wine", "Production"),),
    rejected=((ModelRef("wine", "@champion"), ModelVersion("wine", "2")),),
    newest_version=4,
    face=Face(Product.CLASSIC, "wine"),
    switching=Switching(PendingConfig(CONFIG, 1_700_000_002.0, "maria", forced=True), 1_700_000_002.5, 4, "{}"),
)
REVISION = Revision(
    revision_id("e1", ENTITY),
    "e1",
    "wine",
    ENTITY,
    4,
    RevisionState.READY,
    1_700_000_003.0,
    "ready",
    Environment(EnvironmentDigest("0123456789abcdef"), "/envs/0123456789abcdef/bin/python", "/overlays/3.11"),
    "/models/0123",
    Proof("signature", "No input example was logged."),
)


FIRST = Side(1, {"wine-1": ModelVersion("wine", "1")})
SECOND = Side(2, {"wine-1": ModelVersion("wine", "2"), "ü'\"": ModelVersion("tea", "7")}, {"wine-1": 40, "ü'\"": 60})
SWITCH = Switch("e1", 1_700_000_004.5, "admin", FIRST, SECOND, '{"passed": true}')


def plain(number: int, name: str) -> Endpoint:
    return Endpoint(f"e{number}", name, "admin", 1.0, 1.0)


@pytest.fixture(params=["sqlite", "fake"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = FakeStore() if request.param == "fake" else await SqlStore.open(f"sqlite:///{tmp_path}/tidegate.db")
    yield made
    await made.close()


async def test_an_endpoint_comes_back_as_it_was_given(store: Store) -> None:
    created = await store.create_endpoint(FULL)
    assert created == FULL
    assert created.resource_version > 0
    assert await store.endpoint("wine") == created
    assert await store.endpoints() == (created,)
    found = await store.endpoint("wine")
    assert found is not None
    assert found.resource_version == created.resource_version
    assert found.active is not None
    assert found.active.served_entities[0].batching is Batching.OFF


async def test_an_unknown_name_is_none(store: Store) -> None:
    assert await store.endpoint("wine") is None


async def test_endpoints_come_by_name(store: Store) -> None:
    for number, name in enumerate(("pear", "apple", "fig")):
        await store.create_endpoint(plain(number, name))
    assert [endpoint.name for endpoint in await store.endpoints()] == ["apple", "fig", "pear"]


async def test_a_name_is_taken_until_its_endpoint_is_deleted(store: Store) -> None:
    first = await store.create_endpoint(plain(1, "wine"))
    with pytest.raises(AlreadyExists, match="'wine'"):
        await store.create_endpoint(plain(2, "wine"))
    deleted = await store.save_endpoint(replace(first, deleted_at=2.0))
    assert await store.endpoint("wine") is None
    second = await store.create_endpoint(plain(2, "wine"))
    assert await store.endpoint("wine") == second
    assert set(await store.endpoints()) == {deleted, second}
    with pytest.raises(AlreadyExists):
        await store.save_endpoint(replace(deleted, deleted_at=None))


async def test_saving_moves_the_resource_version(store: Store) -> None:
    created = await store.create_endpoint(plain(1, "wine"))
    saved = await store.save_endpoint(replace(created, description="new"))
    assert saved.description == "new"
    assert saved.resource_version != created.resource_version
    assert await store.endpoint("wine") == saved
    assert (await store.save_endpoint(replace(saved, description="newer"))).description == "newer"


async def test_saving_what_somebody_else_changed_is_a_conflict(store: Store) -> None:
    created = await store.create_endpoint(plain(1, "wine"))
    saved = await store.save_endpoint(replace(created, description="theirs"))
    with pytest.raises(Conflict, match="'wine'"):
        await store.save_endpoint(replace(created, description="mine"))
    assert await store.endpoint("wine") == saved


async def test_saving_what_is_forgotten_is_a_conflict(store: Store) -> None:
    created = await store.create_endpoint(plain(1, "wine"))
    await store.forget_endpoint("e1")
    with pytest.raises(Conflict):
        await store.save_endpoint(created)


async def test_of_writers_at_once_each_counts_exactly_once(store: Store) -> None:
    await store.create_endpoint(plain(1, "wine"))

    async def add_tag(number: int) -> int:
        conflicts = 0
        while True:
            found = await store.endpoint("wine")
            assert found is not None
            try:
                await store.save_endpoint(replace(found, tags=(*found.tags, (str(number), ""))))
                return conflicts
            except Conflict:
                conflicts += 1

    await asyncio.gather(*(add_tag(number) for number in range(12)))
    found = await store.endpoint("wine")
    assert found is not None
    assert sorted(int(key) for key, _ in found.tags) == list(range(12))


async def test_of_creators_at_once_one_wins(store: Store) -> None:
    tries = (store.create_endpoint(plain(number, "wine")) for number in range(8))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, Endpoint) for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 7


async def test_a_revision_comes_back_as_it_was_saved(store: Store) -> None:
    await store.create_endpoint(FULL)
    await store.save_revision(REVISION)
    assert await store.revisions() == {REVISION.id: REVISION}
    moved = replace(REVISION, state=RevisionState.RETIRING, proof=None)
    await store.save_revision(moved)
    assert await store.revisions() == {REVISION.id: moved}
    assert (await store.revisions())[REVISION.id].state is RevisionState.RETIRING


async def test_revisions_are_dropped_and_the_rest_stays(store: Store) -> None:
    await store.create_endpoint(FULL)
    others = [replace(REVISION, id=RevisionId(f"{number:016x}")) for number in range(3)]
    for revision in (REVISION, *others):
        await store.save_revision(revision)
    assert len(await store.revisions()) == 4
    await store.drop_revisions([])
    await store.drop_revisions((others[0].id, others[2].id, RevisionId("f" * 16)))
    assert set(await store.revisions()) == {REVISION.id, others[1].id}
    await store.drop_revisions((others[0].id,))
    await store.save_revision(others[0])
    assert set(await store.revisions()) == {REVISION.id, others[0].id, others[1].id}


async def test_events_are_told_oldest_first_and_the_newest_are_kept(store: Store) -> None:
    await store.create_endpoint(plain(1, "wine"))
    await store.create_endpoint(plain(2, "tea"))
    events = [Event("e1", 10.0 - number, "Note", f"number {number}") for number in range(5)]
    for event in events:
        await store.add_event(event)
        await store.add_event(replace(event, endpoint_id="e2"))
    assert await store.events("e1") == tuple(events)
    assert await store.events("e1", limit=2) == tuple(events[-2:])
    assert await store.events("unknown") == ()


async def test_what_is_no_text_keeps_nothing_from_being_recorded_or_looked_for(store: Store) -> None:
    """A model's exception may say anything, and so may whoever asks for an endpoint."""
    created = await store.create_endpoint(plain(1, "wine"))
    await store.add_event(Event("e1", 1.0, "Note", "a\0b \ud800 ü"))
    assert [event.message for event in await store.events("e1")] == ["a?b ? ü"]
    await store.save_endpoint(replace(created, failed=FailedConfig(CONFIG, "not \udfff text")))
    assert await store.endpoint("wine\0") is None
    assert await store.endpoint("\ud800") is None


async def test_a_switch_is_recorded_with_its_endpoint_or_not_at_all(store: Store) -> None:
    created = await store.create_endpoint(FULL)
    first = replace(SWITCH, before=None, report="")
    saved = await store.save_endpoint(replace(created, description="first"), first)
    await store.save_endpoint(replace(saved, description="second"), SWITCH)
    assert await store.switches("e1") == (first, SWITCH)
    with pytest.raises(Conflict):
        await store.save_endpoint(saved, SWITCH)
    assert await store.switches("e1") == (first, SWITCH)
    assert await store.switches("unknown") == ()


async def test_the_newest_switches_of_each_endpoint_are_kept(store: Store) -> None:
    endpoint, other = await store.create_endpoint(plain(1, "wine")), await store.create_endpoint(plain(2, "tea"))
    await store.save_endpoint(other, replace(SWITCH, endpoint_id="e2"))
    for number in range(MAX_SWITCHES + 2):
        endpoint = await store.save_endpoint(endpoint, replace(SWITCH, at=float(number)))
    times = [switch.at for switch in await store.switches("e1")]
    assert times == [float(number) for number in range(2, MAX_SWITCHES + 2)]
    assert len(await store.switches("e2")) == 1


async def test_forgetting_drops_all_of_an_endpoint_and_only_that(store: Store) -> None:
    await store.save_endpoint(await store.create_endpoint(FULL), SWITCH)
    tea = await store.create_endpoint(plain(2, "tea"))
    await store.save_endpoint(tea, replace(SWITCH, endpoint_id="e2"))
    await store.save_revision(REVISION)
    other = replace(REVISION, id=revision_id("e2", ENTITY), endpoint_id="e2", endpoint_name="tea")
    await store.save_revision(other)
    for endpoint_id in ("e1", "e2"):
        await store.add_event(Event(endpoint_id, 1.0, "Note", "text"))
    await store.forget_endpoint("e1")
    await store.forget_endpoint("e1")
    assert [endpoint.id for endpoint in await store.endpoints()] == ["e2"]
    assert await store.revisions() == {other.id: other}
    assert await store.events("e1") == ()
    assert len(await store.events("e2")) == 1
    assert (len(await store.switches("e1")), len(await store.switches("e2"))) == (0, 1)


async def test_nothing_is_recorded_for_a_forgotten_endpoint(store: Store) -> None:
    with pytest.raises(NotFound, match="'e1'"):
        await store.save_revision(REVISION)
    with pytest.raises(NotFound, match="'e1'"):
        await store.add_event(Event("e1", 1.0, "Note", "text"))
    assert await store.revisions() == {}


# --- enablements

ENABLED = Enablement(
    Product.CLASSIC,
    "ü'\"/ wine",
    "admin",
    1_700_000_000.5,
    (Compute("Production", "Large", scale_to_zero_enabled=True, version=3, asked_at=1_700_000_001.0, given=False),),
    node_type_id="m5.large",
    cluster_tags=(("team", "cellar"),),
)


async def test_an_enablement_comes_back_as_it_was_given(store: Store) -> None:
    assert await store.enablements() == ()
    saved = await store.save_enablement(ENABLED)
    assert saved == ENABLED
    assert saved.resource_version > 0
    assert await store.enablements() == (saved,)
    (found,) = await store.enablements()
    assert (found.product, found.resource_version) == (Product.CLASSIC, saved.resource_version)


async def test_enablements_come_by_product_and_name(store: Store) -> None:
    for product, model in ((Product.SERVERLESS, "a"), (Product.CLASSIC, "c"), (Product.CLASSIC, "b")):
        await store.save_enablement(replace(ENABLED, product=product, model=model))
    assert [(one.product.value, one.model) for one in await store.enablements()] == [
        ("classic", "b"),
        ("classic", "c"),
        ("serverless", "a"),
    ]


async def test_of_two_writers_of_an_enablement_the_second_is_told(store: Store) -> None:
    saved = await store.save_enablement(ENABLED)
    changed = await store.save_enablement(replace(saved, creator="one"))
    for stale in (ENABLED, saved):
        with pytest.raises(Conflict, match="wine"):
            await store.save_enablement(replace(stale, creator="other"))
    assert await store.enablements() == (changed,)
    await store.save_enablement(replace(changed, creator="two"))
    assert [one.creator for one in await store.enablements()] == ["two"]


async def test_what_is_disabled_is_forgotten(store: Store) -> None:
    saved = await store.save_enablement(ENABLED)
    other = await store.save_enablement(replace(ENABLED, product=Product.SERVERLESS))
    for _ in range(2):
        await store.drop_enablement(Product.CLASSIC, saved.model)
    assert await store.enablements() == (other,)
    with pytest.raises(Conflict):
        await store.save_enablement(saved)
    await store.save_enablement(ENABLED)
    assert len(await store.enablements()) == 2


async def test_sessions_are_added_replaced_and_dropped(store: Store) -> None:
    assert await store.sessions() == ()
    later, first = Session("b", "admin", "t", 2.25, 9.0), Session("a", "maria", "u", 1.0, 8.5)
    for session in (later, first):
        await store.save_session(session)
    assert await store.sessions() == (first, later)
    renewed = replace(first, expires_at=20.5)
    await store.save_session(renewed)
    assert await store.sessions() == (renewed, later)
    await store.drop_sessions([])
    for _ in range(2):
        await store.drop_sessions(["a", "missing"])
        assert await store.sessions() == (later,)


async def test_the_newest_lock_is_remembered(store: Store) -> None:
    assert await store.lock_of("abc") is None
    await store.remember_lock("abc", "numpy==1.0\n")
    await store.remember_lock("abc", "numpy==2.0\n")
    assert await store.lock_of("abc") == "numpy==2.0\n"
