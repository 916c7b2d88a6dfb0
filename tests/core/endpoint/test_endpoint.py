"""Defaults and validation: every sentence names the field and what is allowed."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.examples import a_config, a_created_endpoint, an_endpoint, an_entity
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
    default_routes,
)
from tidegate.core.endpoint.names import fit_name
from tidegate.core.endpoint.served_entity import (
    ModelRef,
    ModelVersion,
    ResolvedRef,
    ScalingPolicy,
    ServedEntity,
    default_served_name,
)
from tidegate.core.endpoint.validation import check_config, check_name
from tidegate.core.errors import Conflict, InvalidParameter


def refusal(config: EndpointConfig) -> str:
    """The sentence with which a configuration is refused."""
    with pytest.raises(InvalidParameter) as caught:
        check_config(config)
    return caught.value.message


# --- names


@pytest.mark.parametrize("name", ["a", "7", "wine", "Wine_quality-2", "x" * 63])
def test_a_good_name_passes(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "-wine", "_wine", "wine quality", "wine/1", "wëin", "x" * 64, "wine\n", "a.b"])
def test_a_bad_name_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidParameter, match="cannot name the endpoint: use 1 to 63 letters, digits"):
        check_name(name)


def test_the_reserved_prefix_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="may not start with 'databricks-'"):
        check_name("databricks-dbrx")


def test_a_refusal_never_echoes_a_long_name_whole() -> None:
    with pytest.raises(InvalidParameter) as caught:
        check_name("y" * 10_000)
    assert len(caught.value.message) < 250


# What MLflow's registry takes: https://github.com/mlflow/mlflow/blob/master/mlflow/utils/validation.py
MODEL_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/:"), min_size=1, max_size=250)
VERSIONS = st.integers(1, 99_999).map(str) | st.sampled_from(["Production", "@champion", f"@{'x' * 255}", "@ü"])


@given(MODEL_NAMES, VERSIONS)
@example("_private", "1")
@example("ü", "@ü")
@example("databricks", "1")
@example("databricks-dbrx", "1")
@example("databricks." + "x" * 250, "1")
def test_names_made_of_any_models_are_good_names(name: str, version: str) -> None:
    check_name(default_served_name(ModelRef(name, version)), "served entity")
    check_name(fit_name(name))


@pytest.mark.parametrize(
    "refs",
    [
        [ModelRef("x" * 250, str(version)) for version in range(1, 100)],
        [ModelRef("x" * 61, "1"), ModelRef("x" * 62, "1"), ModelRef("x" * 63, "1")],
        [ModelRef("葡萄酒", "1"), ModelRef("ワイン", "1"), ModelRef("葡萄酒", "2")],
        [ModelRef("wine", f"@{'x' * 100}"), ModelRef("wine", f"@{'x' * 101}")],
    ],
)
def test_models_and_versions_with_long_or_foreign_names_are_told_apart(refs: list[ModelRef]) -> None:
    assert len({default_served_name(ref) for ref in refs}) == len(refs)


@pytest.mark.parametrize(
    ("ref", "served"),
    [
        (ModelRef("wine", "3"), "wine-3"),
        (ModelRef("wine", "@champion"), "wine-champion"),
        (ModelRef("wine", "Production"), "wine-Production"),
        (ModelRef("main.schema.wine", "3"), "main-schema-wine-3"),
        (ModelRef("_my wine_", "3"), "my-wine-3"),
        (ModelRef("databricks-dbrx", "3"), "model-databricks-dbrx-3"),
    ],
)
def test_default_served_names(ref: ModelRef, served: str) -> None:
    assert default_served_name(ref) == served


@pytest.mark.parametrize(
    ("ref", "uri"),
    [
        (ModelRef("wine", "3"), "models:/wine/3"),
        (ModelRef("wine", "@champion"), "models:/wine@champion"),
        (ModelRef("wine", "Production"), "models:/wine/Production"),
    ],
)
def test_a_reference_has_mlflows_uri(ref: ModelRef, uri: str) -> None:
    assert ref.uri == uri


# --- configurations


def test_the_default_routes_give_the_first_entity_everything() -> None:
    entities = (an_entity("a"), an_entity("b"))
    assert default_routes(entities) == (Route("a", 100), Route("b", 0))
    check_config(a_config(*entities))


ENTITY_FAULTS = [
    ({"name": "no spaces"}, "'no spaces' cannot name the served entity"),
    ({"workload_size": "Huge"}, "workload_size is 'Huge'; choose one of Small, Medium, Large."),
    ({"max_provisioned_concurrency": 0}, "provisioned concurrency must be 0 <= min <= max and max >= 1"),
    ({"min_provisioned_concurrency": 5, "max_provisioned_concurrency": 4}, "got min 5, max 4."),
    ({"min_provisioned_concurrency": -1, "max_provisioned_concurrency": 4}, "got min -1, max 4."),
    ({"min_provisioned_concurrency": -5}, "got min -5, max None."),
    ({"timeout_seconds": 0.0}, "wine-1: timeout_seconds must be over 0 and at most 60."),
    ({"timeout_seconds": 60.5}, "wine-1: timeout_seconds must be over 0 and at most 60."),
    ({"timeout_seconds": float("nan")}, "wine-1: timeout_seconds must be over 0 and at most 60."),
    ({"idle_timeout_seconds": 0.5}, "wine-1: idle_timeout_seconds must be at least 1."),
    ({"environment_vars": tuple((f"V{n}", "1") for n in range(51))}, "wine-1: at most 50 environment_vars."),
    ({"environment_vars": (("1A", "x"),)}, "'1A' in environment_vars cannot be set: a name has "),
    ({"environment_vars": (("A=B", "x"),)}, "'A=B' in environment_vars cannot be set: a name has "),
    ({"environment_vars": (("A", "x\0y"),)}, "'A' in environment_vars cannot be set: a name has "),
    *(
        ({"environment_vars": ((name, "x"),)}, f"wine-1: {name} in environment_vars is reserved: a replica takes")
        for name in (
            *("PYTHONPATH", "PYTHONHASHSEED", "LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "PATH", "HOME"),
            *("TIDEGATE_TOKEN", "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"),
        )
    ),
    ({"environment_vars": (("A", "x" * 32 * 1024),)}, "wine-1: A in environment_vars is longer than 32 KiB."),
    ({"environment_vars": (("A", "ü" * 16 * 1024),)}, "wine-1: A in environment_vars is longer than 32 KiB."),
    ({"environment_vars": (("A" * 32 * 1024, "x"),)}, "wine-1: AAA"),
]


@pytest.mark.parametrize(("fields", "sentence"), ENTITY_FAULTS)
def test_a_bad_entity_is_refused_by_field(fields: dict[str, object], sentence: str) -> None:
    assert sentence in refusal(a_config(replace(an_entity(), **fields)))  # type: ignore[arg-type]


def test_other_variables_may_be_set_up_to_their_size() -> None:
    names = ("PATHS", "HOMEPAGE", "LDAP_URL", "MLFLOW_TRACKING_URI", "OMP_NUM_THREADS", "TMPDIR", "python")
    variables = (*((name, "x") for name in names), ("A", "x" * (32 * 1024 - 1)))
    check_config(a_config(replace(an_entity(), environment_vars=variables)))


CONFIG_FAULTS = [
    (EndpointConfig(1, (), ()), "serves 1 to 10 entities; served_entities has 0."),
    (a_config(*[an_entity(f"e{n}") for n in range(11)]), "serves 1 to 10 entities; served_entities has 11."),
    (a_config(an_entity("a"), an_entity("a", version="2")), "served_entities names 'a' twice"),
    (a_config(routes=(Route("other", 100),)), "traffic_config names 'other', which is not a served entity."),
    (a_config(routes=(Route("wine-1", 101),)), "The traffic_percentage of 'wine-1' must be from 0 to 100."),
    (a_config(routes=(Route("wine-1", -1),)), "The traffic_percentage of 'wine-1' must be from 0 to 100."),
    (a_config(routes=(Route("wine-1", 90),)), "must add up to 100; they add up to 90."),
    (a_config(routes=()), "must add up to 100; they add up to 0."),
    (a_config(routes=(Route("wine-1", 50), Route("wine-1", 50))), "traffic_config.routes names 'wine-1' twice"),
]


@pytest.mark.parametrize(("config", "sentence"), CONFIG_FAULTS)
def test_a_bad_configuration_is_refused(config: EndpointConfig, sentence: str) -> None:
    assert sentence in refusal(config)


# --- scaling


@pytest.mark.parametrize(
    ("entity", "policy"),
    [
        (an_entity(), ScalingPolicy(1, 4, 1800.0)),
        (an_entity(workload_size="Medium"), ScalingPolicy(1, 16, 1800.0)),
        (an_entity(workload_size="Large"), ScalingPolicy(1, 64, 1800.0)),
        (an_entity(scale_to_zero_enabled=True, idle_timeout_seconds=5.0), ScalingPolicy(0, 4, 5.0)),
        (an_entity(max_provisioned_concurrency=7), ScalingPolicy(1, 7, 1800.0)),
        (an_entity(workload_size="Large", min_provisioned_concurrency=2, max_provisioned_concurrency=2),
         ScalingPolicy(2, 2, 1800.0)),
        (an_entity(scale_to_zero_enabled=True, min_provisioned_concurrency=2, max_provisioned_concurrency=3),
         ScalingPolicy(0, 3, 1800.0)),
    ],
)  # fmt: skip
def test_the_replicas_an_entity_may_have(entity: ServedEntity, policy: ScalingPolicy) -> None:
    assert entity.scaling == policy


# --- the verbs of an update


def test_a_created_endpoint_waits_for_its_first_configuration() -> None:
    endpoint = a_created_endpoint()
    assert endpoint.active is None
    assert endpoint.configs == (a_config(),)
    assert endpoint.observed_generation < endpoint.generation


def test_a_promotion_serves_what_was_pending() -> None:
    endpoint = a_created_endpoint().promoted(1.0)
    assert (endpoint.active, endpoint.pending) == (a_config(), None)
    assert endpoint.observed_generation == endpoint.generation


def test_an_update_keeps_what_serves_and_forgets_an_earlier_failure() -> None:
    old, new = a_config(), a_config(an_entity("wine-2", version="2"), version=2)
    failed = a_created_endpoint(old).promoted(1.0).with_update(new, 2.0).update_failed("No such package.")
    assert (failed.active, failed.pending) == (old, None)
    assert failed.failed is not None
    assert failed.failed.message == "No such package."
    assert failed.latest_config == new

    again = failed.with_update(new, 3.0)
    assert again.failed is None
    assert again.pending == PendingConfig(new, 3.0)
    assert again.configs == (old, new)
    assert again.generation == failed.generation + 1


def test_an_update_may_be_forced_past_the_gate_and_the_next_one_is_not() -> None:
    forced = a_created_endpoint().promoted(1.0).with_update(a_config(version=2), 2.0, forced=True)
    assert forced.pending is not None
    assert forced.pending.forced
    again = forced.with_update(a_config(version=3), 3.0)
    assert again.pending is not None
    assert not again.pending.forced


def test_what_the_gate_held_back_has_its_report_and_what_failed_by_itself_has_none() -> None:
    updating = a_created_endpoint().promoted(1.0).with_update(a_config(version=2), 2.0)
    held_back, failed = updating.update_failed("No.", "{}").failed, updating.update_failed("No.").failed
    assert held_back == FailedConfig(a_config(version=2), "No.", "{}")
    assert failed == FailedConfig(a_config(version=2), "No.", "")


def test_a_deleted_endpoint_holds_nothing() -> None:
    assert replace(a_created_endpoint().promoted(1.0), deleted_at=5.0).configs == ()


def test_an_endpoint_without_any_configuration_has_no_latest() -> None:
    assert an_endpoint().latest_config is None


def test_the_stores_stamp_is_not_part_of_an_endpoints_identity() -> None:
    assert replace(an_endpoint(), resource_version=7) == an_endpoint()


# --- parking and rollback

ONE, TWO = an_entity(), an_entity("wine-2", version="2")
FIRST, SECOND = a_config(ONE), a_config(TWO, version=2)
UPDATED = a_created_endpoint(FIRST).promoted(1.0).with_update(SECOND, 2.0, "admin").promoted(3.0)


def test_a_promotion_parks_what_served_and_the_next_one_another() -> None:
    assert a_created_endpoint(FIRST).promoted(1.0).previous is None
    assert UPDATED.previous == ParkedConfig(FIRST, 3.0, "admin")
    assert UPDATED.configs == (SECOND, FIRST)
    third = a_config(an_entity("wine-3", version="3"), version=3)
    updated = UPDATED.with_update(third, 4.0, FOLLOWER).promoted(5.0)
    assert updated.previous == ParkedConfig(SECOND, 5.0, FOLLOWER)
    assert updated.configs == (third, SECOND)


def test_an_update_that_changes_nothing_leaves_what_is_parked() -> None:
    again = UPDATED.with_update(replace(SECOND, version=3), 4.0).promoted(5.0)
    assert again.active is not None
    assert again.active.version == 3
    assert again.previous == UPDATED.previous


def test_a_failed_update_leaves_what_is_parked() -> None:
    assert UPDATED.with_update(a_config(version=3), 4.0).update_failed("No.").previous == UPDATED.previous


@pytest.mark.parametrize(
    ("endpoint", "parked"),
    [
        (a_created_endpoint(FIRST), []),
        (UPDATED, [ONE]),
        (UPDATED.with_update(a_config(ONE, version=3), 4.0), []),  # it is to serve again
        (UPDATED.rolled_back(4.0), []),
        (UPDATED.rolled_back(4.0).promoted(5.0), [TWO]),
        (a_created_endpoint(FIRST).promoted(1.0).with_update(a_config(ONE, TWO, version=2), 2.0).promoted(3.0), []),
        (a_created_endpoint(a_config(ONE, TWO)).promoted(1.0).with_update(SECOND, 2.0).promoted(3.0), [ONE]),
    ],
)
def test_what_only_the_earlier_configuration_has_is_parked(endpoint: Endpoint, parked: list[ServedEntity]) -> None:
    assert [entity for entity in (ONE, TWO) if endpoint.parks(entity)] == parked


def test_a_rollback_puts_what_served_before_on_its_way_and_twice_returns() -> None:
    back = UPDATED.with_update(a_config(version=3), 4.0).update_failed("No.").rolled_back(5.0)
    assert (back.pending, back.failed) == (PendingConfig(FIRST, 5.0, ROLLBACK, forced=True), None)
    assert (back.active, back.updated_at) == (SECOND, 5.0)
    assert back.generation > UPDATED.generation
    assert back.rolled_back(6.0) is back
    done = back.promoted(6.0)
    assert (done.active, done.previous) == (FIRST, ParkedConfig(SECOND, 6.0, ROLLBACK))
    assert done.observed_generation == done.generation
    twice = done.rolled_back(7.0).promoted(8.0)
    assert (twice.active, twice.previous) == (SECOND, ParkedConfig(FIRST, 8.0, ROLLBACK))


def test_a_rollback_of_what_is_on_its_way_drops_it() -> None:
    third = a_config(an_entity("wine-3", version="3"), version=3)
    dropped = UPDATED.with_update(third, 4.0).rolled_back(5.0)
    assert (dropped.active, dropped.pending, dropped.failed) == (SECOND, None, None)
    assert (dropped.previous, dropped.rejected) == (UPDATED.previous, (resolved_ref("3"),))
    assert dropped.observed_generation == dropped.generation


@pytest.mark.parametrize("endpoint", [an_endpoint(), a_created_endpoint(), a_created_endpoint().promoted(1.0)])
def test_where_nothing_served_before_there_is_nothing_to_roll_back_to(endpoint: Endpoint) -> None:
    with pytest.raises(Conflict, match="'wine' has nothing to roll back to"):
        endpoint.rolled_back(2.0)


def resolved_ref(version: str, ref: str = "") -> ResolvedRef:
    return ModelRef("wine", ref or version), ModelVersion("wine", version)


def test_what_a_rollback_took_away_is_rejected_until_its_owner_updates() -> None:
    tea = an_entity("tea", model="tea", version="5")
    both = a_created_endpoint(a_config(ONE, tea)).promoted(1.0).with_update(a_config(TWO, tea, version=2), 2.0)
    back = both.promoted(3.0).rolled_back(4.0).promoted(5.0)
    assert back.rejected == (resolved_ref("2"),)
    assert back.with_update(SECOND, 6.0, "admin").rejected == ()
    assert back.with_update(a_config(an_entity(version="3"), version=3), 6.0, "admin").rejected == ()


def test_a_version_is_rejected_for_the_pointer_that_meant_it() -> None:
    """The challenger became the champion: it stays the challenger."""
    names = ("@champion", "@challenger")

    def pointing(number: int, *versions: str) -> EndpointConfig:
        pairs = zip(names, versions, strict=True)
        entities = (ServedEntity(ref[1:], *resolved_ref(version, ref)) for ref, version in pairs)
        return a_config(*entities, version=number)

    both = a_created_endpoint(pointing(1, "1", "2")).promoted(1.0).with_update(pointing(2, "2", "2"), 2.0, FOLLOWER)
    back = both.promoted(3.0).rolled_back(4.0)
    assert back.rejected == (resolved_ref("2", "@champion"),)
    routes_alone, asked_for_again = pointing(3, "1", "2"), pointing(3, "2", "2")
    assert back.promoted(5.0).with_update(routes_alone, 6.0, "admin").rejected == back.rejected
    assert back.promoted(5.0).with_update(asked_for_again, 6.0, "admin").rejected == ()
    assert both.rolled_back(3.0).rejected == (resolved_ref("2", "@champion"),)


def test_what_has_failed_and_what_an_earlier_rollback_took_away_are_rejected_too() -> None:
    third = a_config(an_entity("wine-3", version="3"), version=3)
    failed = UPDATED.with_update(third, 4.0, FOLLOWER).update_failed("No.")
    assert failed.rolled_back(5.0).rejected == (resolved_ref("2"), resolved_ref("3"))
    dropped = UPDATED.with_update(third, 4.0, FOLLOWER).rolled_back(5.0)
    twice = dropped.rolled_back(6.0)
    assert (twice.pending and twice.pending.config, twice.rejected) == (FIRST, (resolved_ref("2"), resolved_ref("3")))
    assert twice.promoted(7.0).rolled_back(8.0).rejected == (resolved_ref("1"), resolved_ref("3"))


# --- a switch that somebody writes into


UPDATING = a_created_endpoint(FIRST).promoted(1.0).with_update(SECOND, 2.0, FOLLOWER)
SWITCHED = UPDATING.let_through(3.0, "{}")


def test_what_is_switched_to_is_routed_and_what_served_is_still_active() -> None:
    assert SWITCHED.switching == Switching(UPDATING.pending, 3.0, UPDATING.generation, "{}")  # type: ignore[arg-type]
    assert (SWITCHED.active, SWITCHED.pending, SWITCHED.routed) == (FIRST, UPDATING.pending, UPDATING.promoted(3.0))
    assert UPDATING.routed is UPDATING
    assert SECOND in SWITCHED.update_dropped(4.0).configs


def test_what_is_routed_stays_and_parks_what_served_whatever_was_written_meanwhile() -> None:
    tagged = replace(SWITCHED, tags=(("a", "b"),), resource_version=5)
    assert tagged.routed == replace(UPDATING, tags=(("a", "b"),)).promoted(3.0)
    assert (tagged.routed.previous, tagged.routed.resource_version) == (ParkedConfig(FIRST, 3.0, FOLLOWER), 5)


def test_another_update_goes_on_when_a_switch_is_put_on_record() -> None:
    third = a_config(an_entity("wine-3", version="3"), version=3)
    moved = SWITCHED.with_update(third, 3.5, FOLLOWER)
    onto = moved.routed
    assert (onto.active, onto.pending) == (SECOND, moved.pending)
    assert onto.previous == ParkedConfig(FIRST, 3.0, FOLLOWER)
    assert onto.observed_generation == UPDATING.generation < onto.generation == moved.generation


@pytest.mark.parametrize("dropped", [SWITCHED.rolled_back(3.5), SWITCHED.update_dropped(3.5)])
def test_what_was_dropped_while_it_was_switched_to_is_led_back_from(dropped: Endpoint) -> None:
    onto = dropped.routed
    assert (onto.active, onto.pending) == (SECOND, PendingConfig(FIRST, 3.0, ROLLBACK, forced=True))
    assert onto.rejected == dropped.rejected
    assert onto.observed_generation < onto.generation
    done = onto.promoted(4.0)
    assert (done.active, done.previous) == (FIRST, ParkedConfig(SECOND, 4.0, ROLLBACK))


def test_a_second_rollback_while_an_update_is_switched_to_leads_to_what_served_before() -> None:
    third = a_config(an_entity("wine-3", version="3"), version=3)
    updating = UPDATED.with_update(third, 4.0, FOLLOWER).let_through(4.5)
    onto = updating.rolled_back(5.0).rolled_back(6.0).routed
    assert (onto.active, onto.pending and onto.pending.config) == (third, FIRST)
    assert onto.rejected == (resolved_ref("2"), resolved_ref("3"))


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("second", range(4))
def test_nobody_but_the_end_of_the_switch_changes_what_is_routed(first: int, second: int) -> None:
    third = a_config(an_entity("wine-3", version="3"), version=3)
    verbs = [
        lambda endpoint: endpoint.with_update(third, 4.0, "maria"),
        lambda endpoint: endpoint.rolled_back(4.0),
        lambda endpoint: endpoint.update_dropped(4.0),
        lambda endpoint: replace(endpoint, tags=(("a", "b"),)),
    ]
    written = verbs[second](verbs[first](UPDATED.with_update(third, 3.2).let_through(3.5)))
    assert written.routed.active == written.routed.routed.active == third
    assert written.routed.switching is None


def test_no_two_configurations_have_the_same_number() -> None:
    assert a_created_endpoint(FIRST).next_version == 2
    back = UPDATED.rolled_back(4.0).promoted(5.0)
    assert back.active is not None
    assert (back.active.version, back.next_version) == (1, 3)
    dropped = back.with_update(a_config(version=3), 6.0).rolled_back(7.0)
    assert dropped.next_version == 4
