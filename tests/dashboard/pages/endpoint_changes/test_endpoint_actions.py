"""The actions on an endpoint: what their forms mean, and what they do in a house."""

from collections.abc import Mapping

import pytest

from tests.core.examples import a_config, an_endpoint, an_entity
from tests.dashboard import stories
from tests.dashboard.web_house import WebHouse
from tidegate.core.endpoint.endpoint import Route
from tidegate.core.endpoint.gate_policy import GateMode, GatePolicy
from tidegate.core.errors import Conflict, InvalidParameter, NotFound, TidegateError
from tidegate.dashboard.forms import Form
from tidegate.dashboard.pages.endpoint_changes.endpoint_actions import policy_of, split_of, tag_changes

SPLIT = an_endpoint(
    active=a_config(
        an_entity(), an_entity("wine-2", version="2"), routes=(Route("wine-1", 90), Route("wine-2", 10)), version=7
    )
)


def test_a_split_keeps_the_entities_and_their_exact_versions() -> None:
    asked = split_of(SPLIT, Form({"config": ["7"], "share:wine-1": ["60"], "share:wine-2": ["40"]}))
    assert (asked.served_entities, asked.routes) == (None, (Route("wine-1", 60), Route("wine-2", 40)))
    ended = split_of(SPLIT, Form({"share:wine-1": ["100"], "share:wine-2": ["0"], "end:wine-2": ["on"]}))
    assert ended.served_entities == (an_entity(),)
    assert ended.routes == (Route("wine-1", 100),)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"config": ["6"]}, Conflict),
        ({"share:wine-1": ["1.5"]}, InvalidParameter),
        ({"end:wine-2": ["on"]}, InvalidParameter),
        ({"share:wine-1": ["0"], "share:wine-2": ["0"], "end:wine-1": [""], "end:wine-2": [""]}, InvalidParameter),
    ],
)
def test_a_split_that_cannot_be_is_refused_with_a_sentence(
    values: Mapping[str, list[str]], error: type[TidegateError]
) -> None:
    with pytest.raises(error):
        split_of(SPLIT, Form(values))


def test_a_policy_is_read_as_per_cents_and_a_box() -> None:
    asked = policy_of(Form({"mode": ["strict"], "share": ["2.5"], "record": ["on"]}), GatePolicy())
    assert asked == GatePolicy(GateMode.STRICT, 0.025, record=True)
    assert not policy_of(Form({"mode": ["off"]}), GatePolicy()).record
    for wrong in ({"mode": ["x"]}, {"share": ["101"]}, {"share": ["-1"]}):
        with pytest.raises(InvalidParameter):
            policy_of(Form(wrong), GatePolicy())


def test_tags_are_set_and_removed() -> None:
    assert tag_changes(Form({"key": ["team"], "value": ["risk"], "remove": ["old", ""]})) == ({"team": "risk"}, ["old"])
    assert tag_changes(Form({"key": [""], "remove": ["old"]})) == ({}, ["old"])
    for wrong in ({}, {"value": ["risk"]}):
        with pytest.raises(InvalidParameter, match="needs a key"):
            tag_changes(Form(wrong))


async def said(web: WebHouse, verb: str, **values: str) -> str:
    """Carry an action out; returns the page after it."""
    answer = await web.http.post(f"/endpoints/wine/{verb}", data=values)
    assert answer.status_code == 303, answer.text
    shown = await web.http.get(answer.headers["location"])
    assert shown.status_code == 200
    return shown.text


async def test_traffic_is_split_and_a_wrong_sum_is_told(web: WebHouse) -> None:
    await stories.split(web.house, "wine")
    assert "they add up to 90" in await said(web, "traffic", **{"share:wine-1": "80", "share:wine-2": "10"})
    assert "being split as asked for" in await said(web, "traffic", **{"share:wine-1": "25", "share:wine-2": "75"})
    await stories.settled(web.house, "wine")
    active = (await web.house.endpoints.get("wine")).endpoint.active
    assert active is not None
    assert [route.traffic_percentage for route in active.routes] == [25, 75]


async def test_a_version_held_back_is_forced_and_rolled_back(web: WebHouse) -> None:
    await stories.held_back(web.house, "wine")
    assert "another version is held back" in await said(web, "force", failed="9")
    assert "serves without a gate" in await said(web, "force", failed="3")
    await stories.settled(web.house, "wine")
    assert "Rolling back." in await said(web, "rollback")
    await stories.settled(web.house, "wine")
    serving = (await web.house.endpoints.get("wine")).endpoint.active
    assert serving is not None
    assert serving.served_entities[0].resolved.version == "1"
    assert "holds back nothing" in await said(web, "force")


async def test_policy_and_tags_are_changed(web: WebHouse) -> None:
    await web.ready("wine")
    await said(web, "gate", mode="strict", share="1")
    assert (await web.house.endpoints.gate("wine")).policy == GatePolicy(GateMode.STRICT, 0.01, record=False)
    await web.http.post("/endpoints/wine/tags", data={"key": "team", "value": "<b>"})
    assert (await web.house.endpoints.get("wine")).endpoint.tags == (("team", "<b>"),)


async def test_an_endpoint_is_deleted_by_its_name_alone(web: WebHouse) -> None:
    await web.ready("wine")
    await web.http.post("/endpoints/wine/delete", data={"name": "win"})
    assert (await web.house.endpoints.get("wine")).endpoint.deleted_at is None
    assert "was deleted" in await said(web, "delete", name="wine")
    with pytest.raises(NotFound):
        await web.house.endpoints.get("wine")


async def test_nothing_is_done_by_a_link(web: WebHouse) -> None:
    await web.ready("wine")
    for verb in ("rollback", "force", "traffic", "gate", "tags", "delete"):
        assert (await web.http.get(f"/endpoints/wine/{verb}")).status_code == 405
