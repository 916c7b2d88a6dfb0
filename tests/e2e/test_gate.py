"""The gate, over the whole platform: real requests are replayed on a version that cannot answer all of them."""

from typing import Any

import pytest

from tests.e2e.conftest import register
from tests.e2e.load import Load
from tests.e2e.running_platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SAD = {"dataframe_records": [{"mood": "sad"}]}


def report(house: Platform) -> dict[str, Any]:
    """The gate's newest report."""
    with house.client() as client:
        return dict(client.get("/api/tidegate/v1/endpoints/gated/gate").json()["report"])


def test_a_version_that_fails_where_the_old_one_answered_is_held_back_until_it_is_forced(house: Platform) -> None:
    fine = register(house, "moody", "gated")
    register(house, "picky", "gated")
    house.launch("gated", "gated")
    with Load(house, "gated", fine, rate=20) as load, Load(house, "gated", SAD, rate=20) as sad_load:
        done = house.command("update", "gated", "models:/gated/2")
    for outcome in (load.outcome, sad_load.outcome):
        assert outcome.lost == {}
        assert set(outcome.served) == {"gated-1"}
    told = report(house)["served_entities"]["gated-2"]
    errors, requests = told["errors"]["count"], told["requests"]
    assert 0 < errors < requests
    assert told["answers"]["compared"] == told["answers"]["exact"] == requests - errors
    reason = f"{errors} of {requests} replayed requests failed that were answered before: "
    assert done.returncode == 1
    assert f"The gate holds it back: {reason}" in done.stderr
    assert "no such mood: sad" in told["errors"]["first"]
    assert "`tidegate force gated` switches to it" in done.stderr
    state = house.get("gated")["state"]
    assert (state["ready"], state["config_update"]) == ("READY", "UPDATE_FAILED")
    shown = house.command("gate", "gated").stdout
    assert "The newest version was held back, under `safe`." in shown
    assert f"- {reason}" in shown

    with Load(house, "gated", fine, rate=20) as load:
        forced = house.command("force", "gated")
    assert (forced.returncode, forced.stdout) == (0, "Endpoint 'gated' serves models:/gated/2.\n")
    assert load.outcome.lost == {}
    assert house.score("gated", SAD).status_code == 400
    assert house.score("gated", fine).headers["served-model-name"] == "gated-2"
    assert report(house)["verdict"] == "forced"
    with house.client() as client:
        client.delete("/api/2.0/serving-endpoints/gated")
