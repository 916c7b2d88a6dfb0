"""Where the older products' stages and versions lead, and that each key has one owner."""

from dataclasses import replace
from itertools import permutations

import pytest

from tests.core.examples import a_config, a_created_endpoint, an_endpoint, rid
from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion, ServedEntity
from tidegate.core.planes.route_table import EndpointRoute, Leads, compile_table

AGENT = "/run/agent.sock"
WINE = Face(Product.SERVERLESS, "wine")


def an_entity(asked: str, version: str) -> ServedEntity:
    return ServedEntity("wine", ModelRef("wine", asked), ModelVersion("wine", version))


def serving(asked: str, version: str, number: int = 1) -> EndpointConfig:
    return a_config(an_entity(asked, version), version=number)


def coming(asked: str, version: str, face: Face = WINE) -> Endpoint:
    """An endpoint of a face on its way."""
    return replace(a_created_endpoint(serving(asked, version), f"{face.product}-{asked}".lower()), face=face)


def up(asked: str, version: str, face: Face = WINE) -> Endpoint:
    """An endpoint of a face that serves."""
    return coming(asked, version, face).promoted(1.0)


def keys(*endpoints: Endpoint, face: Face = WINE) -> dict[str, EndpointRoute]:
    return dict(compile_table(endpoints, AGENT).faces.get(face.id, {}))


def leads_to(route: EndpointRoute, endpoint: Endpoint) -> bool:
    """Whether all of it goes to what the endpoint serves."""
    assert endpoint.active is not None
    [entity] = endpoint.active.served_entities
    return (route.name, route.weights) == (endpoint.name, ((rid(endpoint, entity), 100),))


def test_a_stage_leads_to_its_endpoint_and_so_does_the_version_that_it_serves() -> None:
    production = up("Production", "3")
    found = keys(production)
    assert found.keys() == {"production", "3"}
    assert all(leads_to(route, production) for route in found.values())


def test_a_version_leads_to_its_own_endpoint_unless_a_stage_serves_it() -> None:
    production, one, three = up("Production", "3"), up("1", "1"), up("3", "3")
    found = keys(production, one, three)
    assert leads_to(found["1"], one)
    assert leads_to(found["3"], production)


def test_while_a_stage_changes_both_versions_lead_to_who_serves_them() -> None:
    production, four = up("Production", "3"), up("4", "4")
    moving = production.with_update(serving("Production", "4", 2), 2.0)
    found = keys(moving, four)
    assert leads_to(found["production"], production)
    assert leads_to(found["3"], production)
    assert leads_to(found["4"], four)
    moved = moving.promoted(3.0)
    assert leads_to(keys(moved, four)["4"], moved)
    assert "3" not in keys(moved, four)


def test_what_is_on_its_way_says_that_waiting_helps() -> None:
    for found in (keys(coming("Production", "3")), keys(up("Production", "2").with_update(serving("p", "3", 2), 2.0))):
        assert (found["3"].weights, found["3"].failed) == ((), False)
        assert found["3"].unavailable == "Version 3 of model 'wine' is being started."
    assert keys(coming("Staging", "3"))["staging"].unavailable == "Version 3 of model 'wine' is being started."
    assert keys(coming("3", "3"))["3"].unavailable == "Version 3 of model 'wine' is being started."


def test_what_failed_says_why_and_what_served_goes_on() -> None:
    never = coming("Production", "3").update_failed("No module named 'x'.")
    sentence = "Version 3 of model 'wine' does not serve: No module named 'x'."
    assert {(route.unavailable, route.failed) for route in keys(never).values()} == {(sentence, True)}
    before = up("Production", "2")
    found = keys(before.with_update(serving("Production", "3", 2), 2.0).update_failed("No module named 'x'."))
    assert leads_to(found["production"], before)
    assert leads_to(found["2"], before)
    assert (found["3"].unavailable, found["3"].failed) == (sentence, True)


def test_a_version_that_serves_by_itself_outweighs_a_stages_failure_with_it() -> None:
    failed = up("Production", "2").with_update(serving("Production", "3", 2), 2.0).update_failed("No.")
    three = up("3", "3")
    assert leads_to(keys(failed, three)["3"], three)


def test_products_and_models_are_apart() -> None:
    classic, other = Face(Product.CLASSIC, "wine"), Face(Product.SERVERLESS, "a/b ü")
    odd = replace(up("1", "1", other), id="id-odd", name="odd")
    table = compile_table([up("1", "1"), up("1", "1", classic), odd], AGENT)
    assert table.faces.keys() == {"serverless/wine", "classic/wine", "serverless/a/b ü"}
    assert table.faces["classic/wine"]["1"].name == "classic-1"


def test_endpoints_without_a_face_or_deleted_ones_have_no_part() -> None:
    plain = a_created_endpoint(serving("Production", "3")).promoted(1.0)
    gone = replace(up("Production", "3"), deleted_at=5.0)
    empty = an_endpoint("empty", face=WINE)
    assert compile_table([plain, gone, empty], AGENT).faces == {}


def test_the_order_of_endpoints_makes_no_difference() -> None:
    endpoints = [up("Production", "3"), up("Staging", "3"), up("3", "3"), coming("1", "1")]
    tables = [compile_table(order, AGENT) for order in permutations(endpoints)]
    assert all(table == tables[0] for table in tables)
    assert tables[0].faces[WINE.id]["3"].name == "serverless-production"


@pytest.mark.parametrize(
    "other",
    [
        replace(up("Production", "3"), face=Face(Product.CLASSIC, "wine")),
        replace(up("Production", "3"), face=Face(Product.SERVERLESS, "beer")),
        replace(up("Production", "3"), face=None),
        up("Production", "3").with_update(serving("Production", "4", 2), 2.0),
        up("Production", "3").with_update(serving("Production", "4", 2), 2.0).update_failed("No."),
    ],
)
def test_another_meaning_of_a_key_is_another_version_of_the_table(other: Endpoint) -> None:
    assert compile_table([other], AGENT).version != compile_table([up("Production", "3")], AGENT).version


def test_what_has_not_changed_is_not_compiled_anew() -> None:
    known: dict[str, Leads] = {}
    production, one = up("Production", "3"), coming("1", "1")
    first = compile_table([production, one], AGENT, known)
    second = compile_table([production, one.promoted(2.0)], AGENT, known)
    assert second.faces[WINE.id]["production"] is first.faces[WINE.id]["production"]
    assert second == compile_table([production, one.promoted(2.0)], AGENT) != first
