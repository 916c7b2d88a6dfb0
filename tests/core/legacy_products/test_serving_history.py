"""What happened to an enabled model: by subject, version and stage."""

from dataclasses import replace

import pytest

from tests.core.legacy_products.test_enabled_endpoints import CLASSIC, SERVERLESS, endpoint
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.legacy_products.enablement import entity_of
from tidegate.core.legacy_products.serving_history import (
    HistoryEvent,
    Subject,
    endpoint_history,
    model_history,
    of_replicas,
)
from tidegate.core.rollout.switch import Side, Switch


def switch(at: float, version: int) -> Switch:
    return Switch("e", at, "admin", None, Side(1, {"it": ModelVersion("wine", str(version))}))


SWITCHES = [switch(10.0, 1), switch(20.0, 2)]


@pytest.mark.parametrize(
    ("kind", "at", "expected"),
    [
        ("created", 5.0, HistoryEvent(5.0, Subject.SERVICE, "so", "", "Production")),
        ("preparing", 15.0, HistoryEvent(15.0, Subject.VERSION, "so", "", "Production")),
        ("promoted", 10.0, HistoryEvent(10.0, Subject.SERVICE, "so", "1", "Production")),
        ("rolled_back", 20.5, HistoryEvent(20.5, Subject.SERVICE, "so", "2", "Production")),
        ("some kind to come", 25.0, HistoryEvent(25.0, Subject.CONTAINER, "so", "", "Production")),
    ],
)
def test_a_stage_tells_of_the_version_that_served_then(kind: str, at: float, expected: HistoryEvent) -> None:
    assert list(endpoint_history(endpoint("Production", 2), [(at, kind, "so")], SWITCHES)) == [expected]


@pytest.mark.parametrize("before", ["", "Served entity "])
@pytest.mark.parametrize("model", ["wine", "Rosé (2/3): it's"])
def test_of_replicas_it_is_their_version_whichever_serves(before: str, model: str) -> None:
    """That of a version on its way, or parked, is not told as that of the one that serves."""
    entity = entity_of(model, "Production", "13")
    sentence = before + of_replicas(entity, "it ended (2/7): no memory.")
    stage = replace(endpoint("Production", 2), face=Face(Product.SERVERLESS, model))
    (event,) = endpoint_history(stage, [(25.0, "replica_ended", sentence)], SWITCHES)
    assert event == HistoryEvent(25.0, Subject.CONTAINER, sentence, "13", "Production")


def test_a_version_of_its_own_tells_of_itself() -> None:
    events = [(1.0, "created", "one"), (2.0, "ready", "two"), (3.0, "evicted", "three")]
    assert list(endpoint_history(endpoint("7", 7), events, [])) == [
        HistoryEvent(1.0, Subject.SERVICE, "one", "7"),
        HistoryEvent(2.0, Subject.VERSION, "two", "7"),
        HistoryEvent(3.0, Subject.CONTAINER, "three", "7"),
    ]


def test_a_model_tells_who_enabled_it_and_what_its_stages_were_to_use() -> None:
    assert [event.message for event in model_history(CLASSIC)] == ["Classic model serving was enabled by admin."]
    asked = SERVERLESS.with_compute("Staging", "Large", True, 5.0)
    assert list(model_history(asked))[1] == HistoryEvent(
        5.0, Subject.SERVICE, "Staging is to use size Large, with scale to zero.", stage="Staging"
    )
