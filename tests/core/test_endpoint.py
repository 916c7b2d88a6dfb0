"""Defaults and validation: every sentence names the field and what is allowed."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.examples import a_config, a_created_endpoint, an_endpoint, an_entity
from tidegate.core.endpoint import (
    EndpointConfig,
    ModelRef,
    PendingConfig,
    Route,
    ScalingPolicy,
    ServedEntity,
    check_config,
    check_name,
    default_routes,
    default_served_name,
)
from tidegate.core.errors import InvalidParameter


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


MODEL_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/:@"), min_size=1, max_size=80)


@given(MODEL_NAMES, st.integers(1, 999))
@example("_private", 1)
@example("ü", 1)
def test_a_default_served_name_is_a_good_name(name: str, version: int) -> None:
    served = default_served_name(ModelRef(name, str(version)))
    if not served.startswith("databricks-"):
        check_name(served, "served entity")


@pytest.mark.parametrize(
    ("ref", "served"),
    [
        (ModelRef("wine", "3"), "wine-3"),
        (ModelRef("wine", "@champion"), "wine-champion"),
        (ModelRef("wine", "Production"), "wine-Production"),
        (ModelRef("main.schema.wine", "3"), "main-schema-wine-3"),
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
    ({"timeout_seconds": 0.0}, "wine-1: timeout_seconds must be over 0 and at most 60."),
    ({"timeout_seconds": 60.5}, "wine-1: timeout_seconds must be over 0 and at most 60."),
    ({"timeout_seconds": float("nan")}, "wine-1: timeout_seconds must be over 0 and at most 60."),
    ({"idle_timeout_seconds": 0.5}, "wine-1: idle_timeout_seconds must be at least 1."),
    ({"environment_vars": tuple((f"V{n}", "1") for n in range(51))}, "wine-1: at most 50 environment_vars."),
    ({"environment_vars": (("1A", "x"),)}, "'1A' in environment_vars cannot be set."),
    ({"environment_vars": (("A=B", "x"),)}, "'A=B' in environment_vars cannot be set."),
    ({"environment_vars": (("A", "x\0y"),)}, "'A' in environment_vars cannot be set."),
]


@pytest.mark.parametrize(("fields", "sentence"), ENTITY_FAULTS)
def test_a_bad_entity_is_refused_by_field(fields: dict[str, object], sentence: str) -> None:
    assert sentence in refusal(a_config(replace(an_entity(), **fields)))  # type: ignore[arg-type]


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
    endpoint = a_created_endpoint().promoted()
    assert (endpoint.active, endpoint.pending) == (a_config(), None)
    assert endpoint.observed_generation == endpoint.generation


def test_an_update_keeps_what_serves_and_forgets_an_earlier_failure() -> None:
    old, new = a_config(), a_config(an_entity("wine-2", version="2"), version=2)
    failed = a_created_endpoint(old).promoted().with_update(new, 2.0).update_failed("No such package.")
    assert (failed.active, failed.pending) == (old, None)
    assert failed.failed is not None
    assert failed.failed.message == "No such package."
    assert failed.latest_config == new

    again = failed.with_update(new, 3.0)
    assert again.failed is None
    assert again.pending == PendingConfig(new, 3.0)
    assert again.configs == (old, new)
    assert again.generation == failed.generation + 1


def test_a_deleted_endpoint_holds_nothing() -> None:
    assert replace(a_created_endpoint().promoted(), deleted_at=5.0).configs == ()


def test_an_endpoint_without_any_configuration_has_no_latest() -> None:
    assert an_endpoint().latest_config is None


def test_the_stores_stamp_is_not_part_of_an_endpoints_identity() -> None:
    assert replace(an_endpoint(), resource_version=7) == an_endpoint()
