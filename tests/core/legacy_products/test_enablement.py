"""Enabled models: what their stages are to use, and how their endpoints are called."""

import pytest

from tests.core.examples import a_config, an_endpoint
from tidegate.core.endpoint.endpoint import EndpointConfig, default_routes
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.endpoint.validation import check_config, check_name
from tidegate.core.errors import Conflict
from tidegate.core.legacy_products.enablement import Compute, Enablement, check_owner, endpoint_name, entity_of

WINE = Enablement(Product.SERVERLESS, "wine", "admin", 100.0)
FACE = WINE.face

# --- what a stage is to use


def test_a_stage_of_which_nothing_was_said_uses_the_smallest_size_and_is_kept_ready() -> None:
    assert WINE.compute("Staging") == Compute("Staging", "Small", False, 0, 100.0)


def test_each_wish_has_a_number_and_is_to_be_given() -> None:
    asked = WINE.with_compute("Production", "Large", True, 200.0).with_compute("Production", "Medium", False, 300.0)
    assert asked.compute("Production") == Compute("Production", "Medium", False, 2, 300.0, given=False)
    assert asked.compute("Staging") == WINE.compute("Staging")
    given = asked.with_given(asked.compute("Production"))
    assert given.compute("Production").given
    assert [compute.given for compute in given.computes] == [False, True]


def test_an_older_wish_that_is_given_does_not_settle_a_newer_one() -> None:
    first = WINE.with_compute("Production", "Large", True, 200.0)
    second = first.with_compute("Production", "Medium", False, 300.0)
    assert not second.with_given(first.compute("Production")).compute("Production").given


def test_the_newest_wishes_are_kept() -> None:
    asked = WINE.with_compute("Staging", "Large", True, 1.0)
    for number in range(30):
        asked = asked.with_compute("Production", "Medium", False, float(number))
    assert [compute.version for compute in asked.computes if compute.stage == "Production"] == list(range(21, 31))
    assert asked.compute("Staging").workload_size_id == "Large"


def test_what_an_entity_uses_is_told_by_the_wish_that_it_fits() -> None:
    asked = WINE.with_compute("Production", "Large", True, 200.0).with_compute("Production", "Medium", False, 300.0)
    large = entity_of("wine", "Production", "1", asked.computes[0])
    assert asked.compute_of(large).version == 1
    assert asked.compute_of(entity_of("wine", "Production", "1", WINE.compute("Production"))).version == 0
    assert asked.compute_of(entity_of("wine", "7", "7")) == Compute("", "Small", True, 0, 100.0)


@pytest.mark.parametrize(
    ("product", "stage", "serves"),
    [
        (Product.SERVERLESS, "Production", True),
        (Product.SERVERLESS, "None", False),
        (Product.SERVERLESS, "Archived", False),
        (Product.CLASSIC, "Staging", True),
        (Product.CLASSIC, "None", True),
        (Product.CLASSIC, "Archived", False),
    ],
)
def test_a_product_serves_some_stages(product: Product, stage: str, serves: bool) -> None:
    assert Enablement(product, "wine", "admin", 1.0).serves(stage) is serves


# --- names

MODELS = ("wine", "my wine", "my-wine", "main.wines.red", "a/b", "Rosé", "ワイン", "-", "x" * 200, "x" * 201, "wine-3")


def test_names_are_valid_and_differ_whatever_the_models_are_called() -> None:
    faces = [Face(product, model) for product in Product for model in MODELS]
    names = [endpoint_name(face, key, ()) for face in faces for key in ("Production", "Staging", "1", "12345")]
    for name in names:
        check_name(name)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("model", [*MODELS, "databricks-dbrx"])
@pytest.mark.parametrize("key", ["Production", "12"])
def test_what_is_served_has_a_valid_name(model: str, key: str) -> None:
    entities = (entity_of(model, key, "12"),)
    check_config(EndpointConfig(1, entities, default_routes(entities)))


def test_a_plain_name_says_all() -> None:
    assert endpoint_name(FACE, "Production", ()) == "serverless-wine-production"
    assert endpoint_name(Face(Product.CLASSIC, "wine"), "3", ()) == "classic-wine-3"


def test_a_name_that_is_taken_is_avoided_and_always_in_the_same_way() -> None:
    taken = {"serverless-wine-production"}
    other = endpoint_name(FACE, "Production", taken)
    assert other not in taken
    assert other == endpoint_name(FACE, "Production", taken)
    assert endpoint_name(FACE, "Production", {*taken, other}) not in {*taken, other}
    check_name(other)


# --- whose an endpoint is


def test_a_products_endpoint_is_left_to_it_with_a_sentence_on_what_to_do() -> None:
    endpoint = an_endpoint("serverless-wine-production", active=a_config(), face=FACE)
    check_owner(endpoint, FACE)
    check_owner(an_endpoint(), None)
    with pytest.raises(Conflict, match=r"Serverless Real-Time Inference of model 'wine'.*disable.*update-compute"):
        check_owner(endpoint, None)
    with pytest.raises(Conflict):
        check_owner(endpoint, Face(Product.CLASSIC, "wine"))
    classic = an_endpoint("classic-wine-1", active=a_config(), face=Face(Product.CLASSIC, "wine"))
    with pytest.raises(Conflict, match=r"tidegate disable wine --product classic`\)\.$"):
        check_owner(classic, None)
