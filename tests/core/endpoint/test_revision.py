"""A revision's id is a digest of all that makes it what it is, and of nothing else."""

from dataclasses import fields, replace

import pytest

from tests.core.examples import a_config, a_created_endpoint, a_revision, an_entity, an_observation
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import ReplicaState, revision_id, revision_ids
from tidegate.core.endpoint.served_entity import (
    Batching,
    ModelRef,
    ModelVersion,
    ServedEntity,
)
from tidegate.core.rollout.targets import target_of

# Every field of a served entity with another value than `an_entity` has.
OTHERS: dict[str, object] = {
    "name": "other",
    "model": ModelRef("wine", "@champion"),
    "resolved": ModelVersion("wine", "2"),
    "workload_size": "Large",
    "workload_type": "GPU_SMALL",
    "scale_to_zero_enabled": True,
    "min_provisioned_concurrency": 1,
    "max_provisioned_concurrency": 2,
    "environment_vars": (("A", "b"),),
    "idle_timeout_seconds": 5.0,
    "batching": Batching.OFF,
    "timeout_seconds": 5.0,
    "retry_on_crash": False,
    "trials": False,
}


def test_an_id_is_sixteen_hex_digits() -> None:
    identity = revision_id("e1", an_entity())
    assert len(identity) == 16
    assert int(identity, 16) >= 0


def test_equal_entities_have_one_id() -> None:
    assert revision_id("e1", an_entity()) == revision_id("e1", replace(an_entity()))


def test_no_two_endpoints_share_a_revision() -> None:
    assert revision_id("e1", an_entity()) != revision_id("e2", an_entity())


def test_the_table_of_other_values_is_whole() -> None:
    assert set(OTHERS) == {field.name for field in fields(ServedEntity)}


@pytest.mark.parametrize("field", OTHERS)
def test_every_field_makes_another_revision(field: str) -> None:
    changed = replace(an_entity(), **{field: OTHERS[field]})  # type: ignore[arg-type]
    assert revision_id("e1", changed) != revision_id("e1", an_entity())


def test_a_version_that_was_registered_anew_makes_another_revision() -> None:
    first, second = (an_entity_registered_at(time) for time in (1, 2))
    assert len({revision_id("e1", entity) for entity in (an_entity(), first, second)}) == 3


def test_a_revision_on_record_from_before_that_was_known_keeps_its_id() -> None:
    assert revision_id("e1", an_entity_registered_at(0)) == "f9cc90ca66847ae1"


def an_entity_registered_at(time: int) -> ServedEntity:
    return replace(an_entity(), resolved=replace(an_entity().resolved, registered_at=time))


def test_the_ids_of_a_configuration_keep_its_order() -> None:
    config = a_config(an_entity("b"), an_entity("a"))
    assert list(revision_ids("e1", config)) == ["b", "a"]


def test_only_ready_replicas_count() -> None:
    endpoint = a_created_endpoint()
    revision = a_revision(endpoint, an_entity(), RevisionState.STARTING)
    replicas = (ReplicaState.STARTING, ReplicaState.READY, ReplicaState.DRAINING, ReplicaState.READY)
    assert an_observation(revision, *replicas).ready_replicas == 2


@pytest.mark.parametrize(
    ("asked", "retry", "told"),
    [
        (Batching.AUTO, True, Batching.AUTO),
        (Batching.AUTO, False, Batching.OFF),  # it must not be predicted twice, so it is not tried either
        (Batching.ON, False, Batching.ON),
        (Batching.OFF, True, Batching.OFF),
    ],
)
def test_a_target_tells_whether_to_batch(asked: Batching, retry: bool, told: Batching) -> None:
    entity = an_entity(batching=asked, retry_on_crash=retry)
    assert target_of(a_revision(a_created_endpoint(), entity, RevisionState.STARTING)).batching is told


def test_a_target_starts_one_replica_even_when_it_may_sleep() -> None:
    endpoint = a_created_endpoint()
    sleepy = an_entity(scale_to_zero_enabled=True)
    target = target_of(a_revision(endpoint, sleepy, RevisionState.STARTING))
    assert (target.replicas, target.min_replicas, target.max_replicas) == (1, 0, 4)
    assert not target.proved
