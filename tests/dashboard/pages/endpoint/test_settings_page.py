"""The settings of an endpoint."""

from dataclasses import replace
from typing import Any

import pytest

from tests.core.examples import a_config, an_endpoint, an_entity, rid
from tests.dashboard import stories
from tests.dashboard.web_house import WebHouse
from tidegate.control.endpoints.endpoint_views import EndpointView, ReplicaView
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.endpoint.revision import Address, Proof, Replica, ReplicaId, ReplicaState
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion
from tidegate.core.endpoint.status import ConfigUpdate, Deployment, EndpointStatus, EntityStatus, Ready
from tidegate.dashboard.pages.endpoint.settings_page import SettingsPage, settings_page, verdicts

ENTITY = an_entity(environment_vars=(("API_KEY", "hidden"),), scale_to_zero_enabled=True, retry_on_crash=False)


def shown(endpoint: Endpoint, *replicas: ReplicaView, proof: Proof | None = None) -> SettingsPage:
    status = EntityStatus(Deployment.READY, "", proof)
    entities = {rid(endpoint, entity): status for entity in (endpoint.active or a_config()).served_entities}
    view = EndpointView(endpoint, EndpointStatus(Ready.READY, ConfigUpdate.NOT_UPDATING, "", entities, 1))
    return settings_page(view, replicas, 101.0)


def test_an_entity_shows_its_settings_and_the_names_of_its_variables_alone() -> None:
    (entity,) = shown(an_endpoint(active=a_config(ENTITY))).entities
    facts = dict(entity.facts)
    assert (facts["Replicas"], facts["Sleeps"]) == ("0 to 4", "after 1800 s without a request")
    assert facts["After a crash"] == "the request is not run again"
    assert (entity.variables, entity.share, entity.state) == (("API_KEY",), 100, "ready")
    assert "hidden" not in repr(entity)


def test_verdicts_have_their_reasons() -> None:
    proof = Proof(
        "signature",
        "No example.",
        path={"mode": "fast", "reason": "x"},
        batching={"mode": "off", "reason": "rows differ"},
    )
    found = verdicts(proof)
    assert [(one.title, one.mode, one.reason) for one in found] == [
        ("Batching", "off", "rows differ"),
        ("Request path", "fast", "x"),
        ("Readiness", "signature", "No example."),
    ]
    assert found[0].sentence == "Each request is predicted by itself."
    assert verdicts(None) == ()


@pytest.mark.parametrize(
    ("changes", "follows"),
    [
        ({}, "@champion"),
        ({"lost": (ModelRef("wine", "@champion"),)}, "@champion points to nothing any more"),
        ({"rejected": ((ModelRef("wine", "@champion"), ModelVersion("wine", "2")),)}, "@champion, but rolled back"),
    ],
)
def test_what_an_entity_follows_is_told(changes: dict[str, Any], follows: str) -> None:
    entity = replace(an_entity(), model=ModelRef("wine", "@champion"))
    assert shown(an_endpoint(active=a_config(entity), **changes)).entities[0].follows == follows


def test_replicas_show_what_they_use() -> None:
    replica = Replica(ReplicaId("00000001"), ReplicaState.READY, Address("/x", "s"), 77, 1.0, True, 5_000_000, 50.0)
    endpoint = an_endpoint(active=a_config(ENTITY))
    (row,) = shown(endpoint, ReplicaView("wine-1", rid(endpoint, ENTITY), replica)).replicas
    assert (row.pid, row.state, row.is_forked, row.cores) == (77, "ready", True, 0.5)


def test_a_ready_replica_that_takes_no_request_is_parked() -> None:
    replica = Replica(ReplicaId("00000001"), ReplicaState.READY, Address("/x", "s"), 77, 1.0, True, 5_000_000, 50.0)
    active, parked = an_entity("wine-2", version="2"), an_entity("wine-1")
    endpoint = an_endpoint(active=a_config(active, version=2))
    views = [ReplicaView(entity.name, rid(endpoint, entity), replica) for entity in (active, parked)]
    assert [(row.entity, row.state) for row in shown(endpoint, *views).replicas] == [
        ("wine-2", "ready"),
        ("wine-1", "parked"),
    ]


def test_an_older_products_endpoint_says_so() -> None:
    endpoint = an_endpoint(active=a_config(), face=Face(Product.SERVERLESS, "wine"))
    assert shown(endpoint).product == "Serverless Real-Time Inference"
    assert shown(an_endpoint()).entities == ()


async def test_the_page_shows_no_secret_and_leaves_tags_text(web: WebHouse) -> None:
    await stories.split(web.house, "wine")
    page = await web.text("/endpoints/wine/settings")
    assert "<code>MODEL_KEY</code>" in page
    assert "a secret value" not in page
    assert "<script>alert" not in page
    assert page.count('data-state="ready"') >= 4  # the head's, two entities', two replicas'
    assert 'id="delete"' in page
