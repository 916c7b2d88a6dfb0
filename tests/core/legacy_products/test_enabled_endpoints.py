"""Which endpoints an enabled model has, by its versions and stages, from whatever state; and that none is missed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tidegate.core.endpoint.endpoint import (
    FOLLOWER,
    ROLLBACK,
    Endpoint,
    EndpointConfig,
    FailedConfig,
    PendingConfig,
    default_routes,
)
from tidegate.core.endpoint.legacy_face import Product
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion, ServedEntity
from tidegate.core.legacy_products.enabled_endpoints import (
    BRIDGE_SECONDS,
    GRACE_SECONDS,
    Alignment,
    Begin,
    End,
    Give,
    Miss,
    align,
)
from tidegate.core.legacy_products.enablement import (
    SERVED_STAGES,
    Compute,
    Enablement,
    endpoint_name,
    entity_of,
    stands_for,
    version_of,
)
from tidegate.core.rollout.following import follow
from tidegate.core.rollout.pointers import ModelPointers, Pointer, StagedVersion

SERVERLESS = Enablement(Product.SERVERLESS, "wine", "admin", 1.0)
CLASSIC = Enablement(Product.CLASSIC, "wine", "admin", 1.0)
NOW = 1000.0

Stages = Mapping[int, str]
"""Version → its stage; one that is not ready has a `?` after it."""


def model(stages: Stages) -> ModelPointers:
    """What the registry says of a model."""
    versions = [StagedVersion(str(n), stage.rstrip("?"), "?" not in stage) for n, stage in sorted(stages.items())]
    newest = sorted(versions, key=lambda one: (one.ready, int(one.version)))
    pointers = {one.stage: Pointer(one.version, one.ready) for one in newest}
    return ModelPointers({}, pointers, tuple(versions))


def config(key: str, version: int, compute: Compute | None = None, number: int = 1) -> EndpointConfig:
    if key in SERVED_STAGES and compute is None:
        compute = Compute(key)
    entities = (entity_of("wine", key, str(version), compute),)
    return EndpointConfig(number, entities, default_routes(entities))


def endpoint(
    key: str, active: int | None, pending: int | None = None, failed: int | None = None, by: str = FOLLOWER
) -> Endpoint:
    """An endpoint of the model: what it serves, what is on its way, what has failed."""
    return Endpoint(
        f"id-{key}",
        f"serverless-wine-{key.lower()}",
        "admin",
        NOW,
        NOW,
        active=None if active is None else config(key, active),
        pending=None if pending is None else PendingConfig(config(key, pending, number=2), NOW, by),
        failed=None if failed is None else FailedConfig(config(key, failed, number=2), "It does not load."),
        face=SERVERLESS.face,
    )


def due(alignment: Alignment) -> list[str]:
    """The steps in short: `+Production 1`, `-2`, `Production Large`."""
    words = []
    for step in alignment.steps:
        match step:
            case Begin(entity):
                words.append(f"+{entity.model.version} {entity.resolved.version}")
            case End(ended):
                words.append(f"-{stands_for(ended)}")
            case Give(given, compute, entity):
                words.append(f"{stands_for(given)} {compute.workload_size_id if entity else 'has it'}")
            case Miss(missed, compute, version):
                words.append(f"{stands_for(missed)} {compute.workload_size_id} failed for {version}")
    return words


def aligned(
    stages: Stages, *endpoints: Endpoint, enablement: Enablement = SERVERLESS, now: float = NOW
) -> tuple[list[str], list[str]]:
    """What is due, and the keys of the endpoints that are to stay. Those that are unwanted have had their time."""
    unwanted = {one.id: now - GRACE_SECONDS for one in endpoints}
    alignment = align(enablement, model(stages), endpoints, now, unwanted)
    return due(alignment), sorted(stands_for(one) for one in endpoints if one.id in alignment.stay)


# --- which endpoints there are


@pytest.mark.parametrize(
    ("stages", "serverless", "classic"),
    [
        ({}, [], []),
        ({1: "None", 2: "Archived"}, [], ["+1 1"]),
        ({1: "Production"}, ["+Production 1"], ["+Production 1"]),
        ({1: "Staging", 2: "Production"}, ["+Production 2", "+Staging 1"], ["+Production 2", "+Staging 1"]),
        ({1: "Production", 2: "Production"}, ["+Production 2", "+1 1"], ["+Production 2", "+1 1"]),
        ({1: "Production", 10: "None", 9: "None"}, ["+Production 1"], ["+Production 1", "+9 9", "+10 10"]),
        ({1: "Production?", 2: "None?"}, [], []),
        ({1: "Production", 2: "Production?"}, ["+Production 1"], ["+Production 1"]),
    ],
)
def test_what_begins_from_nothing(stages: Stages, serverless: list[str], classic: list[str]) -> None:
    assert aligned(stages) == (serverless, [])
    assert aligned(stages, enablement=CLASSIC) == (classic, [])


def test_a_version_of_its_own_sleeps_and_a_stage_is_kept_ready() -> None:
    steps = align(SERVERLESS, model({1: "Staging", 2: "Staging"}), [], NOW, {}).steps
    begun = [step.entity for step in steps if isinstance(step, Begin)]
    assert [(entity.model.version, entity.scale_to_zero_enabled) for entity in begun] == [
        ("Staging", False),
        ("1", True),
    ]
    assert [entity.resolved for entity in begun] == [ModelVersion("wine", "2"), ModelVersion("wine", "1")]


def test_where_all_is_as_asked_nothing_is_due() -> None:
    stages = {1: "Production", 2: "Production", 3: "Staging"}
    assert aligned(stages, endpoint("Production", 2), endpoint("Staging", 3), endpoint("1", 1)) == ([], [])


@pytest.mark.parametrize(
    ("served", "registered", "over"),
    [(5, 5, False), (5, 6, True), (0, 5, False), (0, int(NOW * 1000) + 1, True), (5, 0, False)],
)
def test_the_endpoint_of_a_version_ends_when_its_model_was_registered_anew(
    served: int, registered: int, over: bool
) -> None:
    entity = entity_of("wine", "1", "1", registered_at=served)
    own = replace(endpoint("1", 1), active=EndpointConfig(1, (entity,), default_routes((entity,))))
    versions = (StagedVersion("1", "None", True, registered),)
    alignment = align(CLASSIC, ModelPointers({}, {"None": Pointer("1", True, registered)}, versions), [own], NOW, {})
    assert due(alignment) == ["-1"] * over
    (begun,) = align(CLASSIC, ModelPointers({}, {}, versions), [], NOW, {}).steps
    assert isinstance(begun, Begin)
    assert begun.entity.resolved == ModelVersion("wine", "1", registered)


def test_the_endpoint_of_a_stage_begins_with_what_its_model_is_now() -> None:
    versions = (StagedVersion("1", "Production", True, 5),)
    (begun,) = align(SERVERLESS, ModelPointers({}, {"Production": Pointer("1", True, 5)}, versions), [], NOW, {}).steps
    assert isinstance(begun, Begin)
    assert begun.entity.resolved == ModelVersion("wine", "1", 5)


def test_while_all_is_on_its_way_nothing_more_is_due() -> None:
    stages = {1: "Production", 2: "Production"}
    assert aligned(stages, endpoint("Production", None, 2), endpoint("1", None, 1)) == ([], [])


# --- promotions


def test_a_version_that_a_stage_leaves_for_the_archive_just_ends() -> None:
    assert aligned({1: "Archived", 2: "Production"}, endpoint("Production", 1)) == ([], [])


def test_one_that_is_left_and_stays_wanted_answers_by_itself_before_its_stage_goes_on() -> None:
    stages = {1: "Production", 2: "Production"}
    assert aligned(stages, endpoint("Production", 1)) == (["+1 1"], ["Production"])
    assert aligned(stages, endpoint("Production", 1), endpoint("1", None, 1)) == ([], ["Production"])
    assert aligned(stages, endpoint("Production", 1), endpoint("1", 1)) == ([], [])
    assert aligned(stages, endpoint("Production", 1, 2), endpoint("1", 1)) == ([], [])
    assert aligned(stages, endpoint("Production", 2), endpoint("1", 1)) == ([], [])


@pytest.mark.parametrize(
    ("bridge", "now"),
    [(endpoint("1", None, failed=1), NOW), (endpoint("1", None, 1), NOW + BRIDGE_SECONDS)],
    ids=["it fails", "it takes too long"],
)
def test_a_promotion_does_not_wait_for_a_version_that_does_not_come_up_by_itself(bridge: Endpoint, now: float) -> None:
    assert aligned({1: "Production", 2: "Production"}, endpoint("Production", 1), bridge, now=now) == ([], [])


def test_a_version_that_its_stage_has_come_to_serve_needs_no_endpoint_of_its_own() -> None:
    before = endpoint("Production", 1, 2), endpoint("2", 2), endpoint("1", 1)
    assert aligned({1: "Production", 2: "Production"}, *before) == ([], [])
    assert aligned({1: "Production", 2: "Production"}, endpoint("Production", 2), *before[1:]) == (["-2"], ["2"])


def test_a_version_that_moves_to_another_stage_is_answered_all_the_way() -> None:
    """From Staging, which nothing is in any more, to Production."""
    stages = {1: "Archived", 2: "Production"}
    production, staging = endpoint("Production", 1), endpoint("Staging", 2)
    assert aligned(stages, production, staging) == (["+2 2"], ["Staging"])
    assert aligned(stages, production, staging, endpoint("2", None, 2)) == ([], ["Staging"])
    assert aligned(stages, production, staging, endpoint("2", 2)) == (["-Staging"], ["Staging"])
    assert aligned(stages, endpoint("Production", 2), endpoint("2", 2)) == (["-2"], ["2"])


def test_two_stages_that_change_places() -> None:
    stages = {1: "Staging", 2: "Production"}
    both = endpoint("Production", 1), endpoint("Staging", 2)
    assert aligned(stages, *both) == (["+1 1", "+2 2"], ["Production", "Staging"])
    assert aligned(stages, *both, endpoint("1", 1), endpoint("2", 2)) == ([], [])


def test_a_stage_that_empties_loses_its_endpoint() -> None:
    assert aligned({1: "Archived"}, endpoint("Production", 1)) == (["-Production"], ["Production"])
    assert aligned({1: "None"}, endpoint("Production", 1)) == (["-Production"], ["Production"])
    assert aligned({}, endpoint("Production", 1), endpoint("1", None, 1)) == (
        ["-Production", "-1"],
        ["1", "Production"],
    )


def test_what_the_classic_product_goes_on_serving_is_not_left_with_its_stage() -> None:
    stages = {1: "None"}
    assert aligned(stages, endpoint("Production", 1), enablement=CLASSIC) == (["+1 1"], ["Production"])
    assert aligned(stages, endpoint("Production", 1), endpoint("1", 1), enablement=CLASSIC) == (
        ["-Production"],
        ["Production"],
    )


def test_a_stage_whose_newest_goes_comes_back_to_the_one_before() -> None:
    stages = {1: "Production", 2: "Archived"}
    assert aligned(stages, endpoint("Production", 2), endpoint("1", 1)) == ([], [])
    assert aligned(stages, endpoint("Production", 1), endpoint("1", 1)) == (["-1"], ["1"])


# --- what nothing asks for any more


def kept(stages: Stages, *endpoints: Endpoint, now: float, unwanted: Mapping[str, float]) -> Alignment:
    return align(SERVERLESS, model(stages), endpoints, now, unwanted)


@pytest.mark.parametrize("one", [endpoint("Production", 1), endpoint("1", 1)], ids=["of a stage", "of a version"])
def test_what_nothing_asks_for_ends_when_that_has_lasted(one: Endpoint) -> None:
    first = kept({1: "Archived"}, one, now=NOW, unwanted={})
    assert (due(first), first.unwanted) == ([], {one.id: NOW})
    later = NOW + GRACE_SECONDS - 0.1
    then = kept({1: "Archived"}, one, now=later, unwanted=first.unwanted)
    assert (due(then), then.unwanted) == ([], {one.id: NOW})
    last = kept({1: "Archived"}, one, now=NOW + GRACE_SECONDS, unwanted=then.unwanted)
    assert (due(last), last.unwanted) == ([f"-{stands_for(one)}"], {one.id: NOW})


def test_a_stage_that_is_filled_in_time_goes_on_with_its_endpoint_and_its_time_begins_anew() -> None:
    one = endpoint("Production", 1)
    emptied = kept({1: "Archived"}, one, now=NOW, unwanted={})
    assert emptied.stay == {one.id}  # what the registry says of it is no pointer that was lost
    filled = kept({1: "Archived", 2: "Production"}, one, now=NOW + 1, unwanted=emptied.unwanted)
    assert (due(filled), filled.stay, filled.unwanted) == ([], frozenset(), {})
    again = kept({1: "Archived"}, one, now=NOW + GRACE_SECONDS, unwanted=filled.unwanted)
    assert (due(again), again.unwanted) == ([], {one.id: NOW + GRACE_SECONDS})


def test_a_clock_that_was_put_back_lengthens_no_time() -> None:
    one = endpoint("Production", 1)
    back = kept({}, one, now=NOW - 3600, unwanted={one.id: NOW})
    assert back.unwanted == {one.id: NOW - 3600}


# --- failures and rollbacks


def test_a_stages_first_version_that_fails_is_not_tried_a_second_time_by_itself() -> None:
    assert aligned({1: "Production"}, endpoint("Production", None, failed=1)) == ([], [])


def test_a_version_that_its_stage_has_given_up_gets_an_endpoint_of_its_own() -> None:
    stages = {1: "Production", 2: "Production"}
    assert aligned(stages, endpoint("Production", 1, failed=2)) == (["+2 2"], [])
    assert aligned(stages, endpoint("Production", 1, failed=2), endpoint("2", None, failed=2)) == ([], [])


def test_so_does_one_that_a_rollback_took_away() -> None:
    stages = {1: "Production", 2: "Production"}
    rejected = ((ModelRef("wine", "Production"), ModelVersion("wine", "2")),)
    under_way = replace(endpoint("Production", 2, 1, by=ROLLBACK), rejected=rejected)
    assert aligned(stages, under_way, endpoint("1", 1)) == (["+2 2"], ["Production"])
    done = replace(endpoint("Production", 1), rejected=rejected)
    assert aligned(stages, done, endpoint("1", 1), endpoint("2", 2)) == (["-1"], ["1"])


# --- what a stage uses


def asked(size: str, *, given: bool = False) -> Enablement:
    enablement = SERVERLESS.with_compute("Production", size, False, 2.0)
    return enablement.with_given(enablement.compute("Production")) if given else enablement


def using(size: str, version: int, number: int = 2) -> EndpointConfig:
    return config("Production", version, Compute("Production", size), number)


def test_a_stage_is_given_what_it_is_to_use_once() -> None:
    one = endpoint("Production", 1)
    assert aligned({1: "Production"}, one, enablement=asked("Large")) == (["Production Large"], ["Production"])
    assert aligned({1: "Production"}, one, enablement=asked("Large", given=True)) == ([], [])
    (step,) = align(asked("Large"), model({1: "Production"}), [one], NOW, {}).steps
    assert isinstance(step, Give)
    assert step.entity == using("Large", 1).served_entities[0]


def test_a_stage_that_has_it_is_noted() -> None:
    assert aligned({1: "Production"}, endpoint("Production", 1), enablement=asked("Small"))[0] == ["Production has it"]
    pending = replace(endpoint("Production", 1), pending=PendingConfig(using("Large", 1), NOW, "admin"))
    assert aligned({1: "Production"}, pending, enablement=asked("Large"))[0] == ["Production has it"]


def test_a_stage_that_is_empty_begins_with_what_it_was_to_use() -> None:
    (step,) = align(asked("Large"), model({1: "Production"}), [], NOW, {}).steps
    assert isinstance(step, Begin)
    assert step.entity == using("Large", 1).served_entities[0]


def test_a_promotion_on_its_way_goes_first() -> None:
    stages = {1: "Archived", 2: "Production"}
    assert aligned(stages, endpoint("Production", 1, 2), enablement=asked("Large"))[0] == []
    assert aligned(stages, endpoint("Production", 2), enablement=asked("Large"))[0] == ["Production Large"]


def test_a_rollback_goes_first() -> None:
    assert aligned({1: "Production"}, endpoint("Production", 2, 1, by=ROLLBACK), enablement=asked("Large"))[0] == []


def test_an_older_wish_on_its_way_gives_way() -> None:
    pending = replace(endpoint("Production", 1), pending=PendingConfig(using("Medium", 1), NOW, "admin"))
    assert aligned({1: "Production"}, pending, enablement=asked("Large"))[0] == ["Production Large"]
    first = endpoint("Production", None, 1)
    assert aligned({1: "Production"}, first, enablement=asked("Large"))[0] == ["Production Large"]


@pytest.mark.parametrize("size", ["Large", "Small"])
def test_a_wish_after_one_that_failed_is_tried_whatever_it_is(size: str) -> None:
    failed = replace(endpoint("Production", 1), failed=FailedConfig(using("Large", 1), "It does not load."))
    assert aligned({1: "Production"}, failed, enablement=asked(size))[0] == [f"Production {size}"]


def missed(size: str, version: str) -> Enablement:
    """The same, and that version has failed to use it."""
    enablement = asked(size, given=True)
    return enablement.with_given(enablement.compute("Production"), version)


def failing(active: int, failed: EndpointConfig) -> Endpoint:
    return replace(endpoint("Production", active), failed=FailedConfig(failed, "There is no room."))


@pytest.mark.parametrize(
    ("there", "enablement", "steps"),
    [
        (failing(1, using("Large", 1)), asked("Large", given=True), ["Production Large failed for 1"]),
        (failing(1, using("Large", 1)), missed("Large", "1"), []),
        (failing(2, using("Large", 2)), missed("Large", "1"), ["Production Large failed for 2"]),
        (failing(1, using("Large", 2)), asked("Large", given=True), ["Production Large failed for 2"]),
        (failing(1, using("Small", 2)), asked("Large", given=True), []),  # after a rollback of Large
        (endpoint("Production", None, failed=1), asked("Small", given=True), []),  # it begins with it again
    ],
)
def test_what_failed_is_remembered_with_its_version(there: Endpoint, enablement: Enablement, steps: list[str]) -> None:
    newest = there.latest_config
    assert newest is not None
    stages = {int(version_of(newest)): "Production"}
    assert [step for step in aligned(stages, there, enablement=enablement)[0] if step.startswith("P")] == steps


@pytest.mark.parametrize(
    ("there", "steps"),
    [
        (endpoint("Production", 2), ["Production Large"]),
        (endpoint("Production", 2, 2), []),  # something else is on its way
        (endpoint("Production", 1), []),  # the promotion is still to come, or was rolled back
        (endpoint("Production", 3), []),  # a rollback has left it there
        (replace(endpoint("Production", 2), active=using("Large", 2)), ["Production has it"]),
    ],
)
def test_what_failed_for_one_version_is_given_once_more_to_the_next(there: Endpoint, steps: list[str]) -> None:
    due = aligned({2: "Production"}, there, enablement=missed("Large", "1"))[0]
    assert [step for step in due if step.startswith("P")] == steps


# --- walks


class World:
    """A model whose versions move between stages, and its endpoints, of which some are promoted now and then."""

    def __init__(self, seed: int, enablement: Enablement) -> None:
        self.chance, self.enablement = random.Random(seed), enablement
        self.patient = seed % 2  # else what nothing asks for has had its time at the next look
        self.unwanted: Mapping[str, float] = {}
        self.stages: dict[int, str] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.now = NOW
        self.made = 0
        self.left: set[str] = set()  # versions that a stage was on its way from while nobody wanted them

    def move(self) -> None:
        """Register a version, or move one to another stage."""
        if len(self.stages) < 5 and self.chance.random() < 0.4:
            self.stages[len(self.stages) + 1] = "None"
        elif self.stages:
            version = self.chance.choice(list(self.stages))
            self.stages[version] = self.chance.choice(["None", "Staging", "Production", "Archived"])
        self.note_left()

    def note_left(self) -> None:
        """Remember what is being left while nobody wants it: it may end although somebody wants it again meanwhile."""
        serving = [(version_of(one.active), one.pending) for one in self.endpoints.values() if one.active]
        self.left |= {version for version, pending in serving if pending} - self.wanted
        self.left -= {version for version, pending in serving if not pending}

    def look(self) -> bool:
        """What the follower does in one look. Whether anything changed."""
        pointers = model(self.stages)
        alignment = align(self.enablement, pointers, list(self.endpoints.values()), self.now, self.unwanted)
        self.unwanted = alignment.unwanted
        if not self.patient:
            self.unwanted = {one: since - GRACE_SECONDS for one, since in self.unwanted.items()}
        for step in alignment.steps:
            match step:
                case Begin(entity):
                    self._begin(entity)
                case End(ended):
                    del self.endpoints[ended.id]
                case Give() | Miss():
                    raise AssertionError("nobody asked for that")
        changed = bool(alignment.steps)
        for one in list(self.endpoints.values()):
            followed = None if one.id in alignment.stay else follow(one, {"wine": pointers}, self.now)
            if followed is not None:
                self.endpoints[one.id] = followed.endpoint
                changed = True
        return changed

    def promote(self, *, every: bool = False) -> bool:
        """What the reconciler does, with some or all of what is on its way."""
        coming = [one for one in self.endpoints.values() if one.pending and (every or self.chance.random() < 0.5)]
        for one in coming:
            self.endpoints[one.id] = one.promoted(self.now)
        return bool(coming)

    def _begin(self, entity: ServedEntity) -> None:
        self.made += 1
        entities = (entity,)
        taken = [one.name for one in self.endpoints.values()]
        name = endpoint_name(self.enablement.face, entity.model.version, taken)
        pending = PendingConfig(EndpointConfig(1, entities, default_routes(entities)), self.now, "admin")
        made = Endpoint(f"id-{self.made}", name, "admin", self.now, self.now, pending=pending)
        self.endpoints[made.id] = replace(made, face=self.enablement.face)

    @property
    def wanted(self) -> set[str]:
        return {str(version) for version, stage in self.stages.items() if self.enablement.serves(stage)}

    @property
    def promised(self) -> set[str]:
        """The versions that must not be without an answer, not even for a moment."""
        self.note_left()
        return (self.answered & self.wanted) - self.left

    @property
    def answered(self) -> set[str]:
        return {version_of(one.active) for one in self.endpoints.values() if one.active}

    def keys(self) -> list[str]:
        return sorted(map(stands_for, self.endpoints.values()))


def expected(world: World) -> list[str]:
    """The endpoints of a model at rest."""
    newest = {stage: str(version) for version, stage in sorted(world.stages.items()) if stage in SERVED_STAGES}
    return sorted([*newest, *(world.wanted - set(newest.values()))])


@pytest.mark.parametrize("enablement", [SERVERLESS, CLASSIC], ids=["serverless", "classic"])
def test_however_versions_move_all_that_is_wanted_and_answers_goes_on_answering(enablement: Enablement) -> None:
    for seed in range(40):
        world = World(seed, enablement)
        for _ in range(60):
            world.move()
            kept = world.promised
            for act in world.chance.choices([world.look, world.promote], k=3):
                act()
                assert kept <= world.answered, (seed, world.stages, kept, world.answered)
                kept = world.promised
            world.now += 0.1
        settle(world)
        assert world.keys() == expected(world), (seed, world.stages)
        assert world.wanted == world.answered


def settle(world: World, rounds: int = 12) -> None:
    for _ in range(rounds):
        if not (world.look() | world.promote(every=True)) and not world.unwanted:
            return
        world.now += GRACE_SECONDS * bool(world.unwanted)
    raise AssertionError(f"it does not come to rest: {world.stages}, {world.keys()}")


def test_the_steps_of_one_look_may_be_done_in_part() -> None:
    """A control that is killed in between goes on from there."""
    for seed in range(30):
        world = World(seed, CLASSIC)
        for _ in range(25):
            world.move()
            there = list(world.endpoints.values())
            unwanted = dict.fromkeys(world.endpoints, world.now - GRACE_SECONDS)
            steps = align(CLASSIC, model(world.stages), there, world.now, unwanted).steps
            partial(world, steps[: world.chance.randint(0, len(steps))])
            world.promote()
        settle(world)
        assert world.keys() == expected(world)


def partial(world: World, steps: Sequence[object]) -> None:
    for step in steps:
        match step:
            case Begin(entity):
                world._begin(entity)
            case End(ended):
                del world.endpoints[ended.id]
