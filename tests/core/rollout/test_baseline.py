"""With whom a new served entity is compared, where several of its model serve."""

import pytest

from tests.core.examples import a_config, an_entity
from tidegate.core.endpoint.endpoint import Route
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.rollout.baseline import baseline_of

ONE, TWO, THREE = (an_entity(f"wine-{number}", version=number) for number in "123")
LATER, TEA = an_entity("wine-2", version="4"), an_entity("tea", "tea")


@pytest.mark.parametrize(
    ("after", "entity", "baseline"),
    [
        ((ONE, THREE), THREE, TWO),  # the canary goes
        ((TWO, THREE), THREE, ONE),
        ((THREE,), THREE, ONE),  # both go: the one with most of the traffic
        ((ONE, TWO, THREE), THREE, ONE),  # none goes
        ((ONE, LATER), LATER, TWO),  # of the same name
        ((LATER, THREE), THREE, ONE),  # whoever keeps its name stays
        ((TEA,), TEA, None),  # of another model
    ],
)
def test_of_several_of_its_model_it_is_the_one_that_goes_else_the_busiest(
    after: tuple[ServedEntity, ...], entity: ServedEntity, baseline: ServedEntity | None
) -> None:
    for order in ((ONE, TWO), (TWO, ONE)):
        active = a_config(*order, routes=(Route("wine-1", 90), Route("wine-2", 10)))
        assert baseline_of(entity, a_config(*after, version=2), active) is baseline


def test_one_that_no_route_leads_to_has_no_share() -> None:
    active = a_config(ONE, TWO, routes=(Route("wine-2", 100),))
    assert baseline_of(THREE, a_config(THREE, version=2), active) is TWO
