"""The form of an update."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.examples import a_config, an_endpoint, an_entity
from tests.dashboard import stories
from tests.dashboard.web_house import WebHouse
from tidegate.control.endpoints.endpoint_requests import UNRESOLVED
from tidegate.core.endpoint.endpoint import Route
from tidegate.core.endpoint.registered_model import ModelDetails, RegisteredModel, RegisteredVersion
from tidegate.core.endpoint.served_entity import Batching, ModelRef
from tidegate.core.errors import Conflict, InvalidParameter, Unavailable
from tidegate.dashboard.forms import Form
from tidegate.dashboard.pages.endpoint_changes.update_form import (
    BESIDE,
    as_sent,
    scaled,
    update_form,
    update_request,
    version_choices,
)

ENTITY = an_entity(environment_vars=(("KEY", "secret"),), workload_type="CPU_LARGE", max_provisioned_concurrency=7)
ENDPOINT = an_endpoint(active=a_config(ENTITY, version=4))


def filled(place: str = "", **values: str) -> Form:
    """The form as a browser sends it when these fields are changed."""
    shown = update_form(ENDPOINT, place)
    return Form({name: [value] for name, value in ({"config": "4"} | shown.values | values).items()})


def test_a_form_that_is_sent_as_it_stands_changes_nothing() -> None:
    asked = update_request(ENDPOINT, filled())
    assert asked.served_entities is not None
    assert asked.served_entities[0].resolved == UNRESOLVED
    assert [(one.name, one.model, one.environment_vars, one.workload_type) for one in asked.served_entities] == [
        (ENTITY.name, ENTITY.model, ENTITY.environment_vars, "CPU_LARGE")
    ]
    assert (asked.routes, asked.forced) == ((Route("wine-1", 100),), False)


def test_another_version_takes_the_name_that_comes_from_it_and_settings_change() -> None:
    asked = update_request(ENDPOINT, filled(version="@champion", size="Large", batching="off", zero="on", most=""))
    assert asked.served_entities is not None
    (entity,) = asked.served_entities
    assert (entity.name, entity.model) == ("wine-champion", ModelRef("wine", "@champion"))
    assert (entity.workload_size, entity.batching, entity.scale_to_zero_enabled) == ("Large", Batching.OFF, True)
    assert entity.max_provisioned_concurrency is None
    own = an_endpoint(active=a_config(an_entity("mine"), version=4))
    named = update_request(own, Form({"place": ["mine"], "version": ["2"]})).served_entities
    assert named is not None
    assert named[0].name == "mine"


def test_a_version_beside_what_serves_takes_its_share_from_all() -> None:
    asked = update_request(ENDPOINT, filled(BESIDE, version="2", share="25"))
    assert asked.routes == (Route("wine-1", 75), Route("wine-2", 25))


@given(st.lists(st.integers(0, 100), min_size=1, max_size=10), st.integers(0, 100))
def test_scaled_shares_are_whole_and_add_up(shares: list[int], total: int) -> None:
    found = scaled(shares, total)
    assert sum(found) == total
    assert min(found) >= 0
    if sum(shares) == total:
        assert found == shares


@pytest.mark.parametrize(
    "values",
    [
        {"version": ""},
        {"batching": "x"},
        {"idle": "x"},
        {"least": "1.5"},
        {"model": "x" * 301},
        {"place": BESIDE, "share": "101"},
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter):
        update_request(ENDPOINT, filled(**values))


@pytest.mark.parametrize("values", [{"config": ["3"]}, {"place": ["gone"], "version": ["2"]}])
def test_an_update_of_what_does_not_serve_any_more_is_refused(values: dict[str, list[str]]) -> None:
    with pytest.raises(Conflict):
        update_request(ENDPOINT, Form(values))


def test_what_was_typed_is_shown_again() -> None:
    shown = as_sent(ENDPOINT, Form({"version": ["<x>"], "force": ["on"]})).values
    assert (shown["version"], "force" in shown, "trials" in shown) == ("<x>", True, False)


def test_aliases_and_stages_are_offered_with_what_they_mean_now() -> None:
    model = RegisteredModel("wine", "3", {"Production": "2", "None": "3", "Archived": "1"}, {"champion": "3"})
    versions = (RegisteredVersion("3", status="PENDING_REGISTRATION"), RegisteredVersion("2", "Production"))
    assert version_choices(ModelDetails(model, "", versions)) == (
        ("@champion", "now version 3"),
        ("Production", "now version 2"),
        ("3", "pending_registration"),
        ("2", "Production"),
    )


async def test_the_form_works_while_the_registry_is_away(web: WebHouse) -> None:
    await web.ready("wine")
    assert '<option value="3">' in await web.text("/endpoints/wine/update")
    web.house.registry.failure = Unavailable("The registry does not answer.")
    web.house.clock.advance(60)
    assert 'id="version"' in await web.text("/endpoints/wine/update")


async def test_a_version_is_promoted_and_a_refusal_keeps_what_was_typed(web: WebHouse) -> None:
    await web.ready("wine")
    page = await web.text("/endpoints/wine/update")
    assert 'value="1"' in page
    sent = {"config": "1", "place": "wine-1", "model": "wine", "retry": "on", "trials": "on"}
    refused = await web.http.post("/endpoints/wine/update", data={**sent, "version": "99"})
    assert (refused.status_code, 'value="99"' in refused.text) == (404, True)
    begun = await web.http.post("/endpoints/wine/update", data={**sent, "version": "2"})
    assert (begun.status_code, begun.headers["location"].split("?")[0]) == (303, "/endpoints/wine/rollouts")
    await stories.settled(web.house, "wine")
    active = (await web.house.endpoints.get("wine")).endpoint.active
    assert active is not None
    assert active.served_entities[0].name == "wine-2"
