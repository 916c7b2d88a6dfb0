"""The gate, over the whole platform: real requests are replayed on a version that cannot answer all of them."""

import json

import pytest

from tests.e2e.conftest import register
from tests.e2e.load import Load
from tests.e2e.running_platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SENTENCE = "replayed requests failed that were answered before: "


def test_a_version_that_fails_where_the_old_one_answered_is_held_back_until_it_is_forced(house: Platform) -> None:
    fine = register(house, "moody", "gated")
    register(house, "picky", "gated")
    house.launch("gated", "gated", batching="off")
    sad = {"dataframe_records": [{"mood": "sad"}]}
    assert [house.score("gated", sad).status_code for _ in range(3)] == [200] * 3
    with Load(house, "gated", fine, rate=50) as load:
        held_back = house.command("update", "gated", "models:/gated/2")
    assert held_back.returncode == 1
    assert f"The gate holds it back: 3 of {replayed(house)} {SENTENCE}" in held_back.stderr
    assert "no such mood: sad" in held_back.stderr
    assert "`tidegate force gated` has it serve all the same" in held_back.stderr
    assert load.outcome.lost == {}
    assert set(load.outcome.served) == {"gated-1"}
    state = house.get("gated")["state"]
    assert (state["ready"], state["config_update"]) == ("READY", "UPDATE_FAILED")
    assert house.score("gated", sad).json() == {"predictions": ["sad"]}

    shown = house.command("gate", "gated")
    assert "The newest was held back, under `safe`." in shown.stdout
    assert "gated-2" in shown.stdout

    with Load(house, "gated", fine, rate=50) as load:
        forced = house.command("force", "gated")
    assert (forced.returncode, forced.stdout) == (0, "Endpoint 'gated' serves models:/gated/2.\n")
    assert load.outcome.lost == {}
    assert house.score("gated", sad).status_code == 400
    assert house.score("gated", fine).headers["served-model-name"] == "gated-2"
    assert json.loads(house.command("gate", "gated", "--output", "json").stdout)["report"]["verdict"] == "forced"
    with house.client() as client:
        client.delete("/api/2.0/serving-endpoints/gated")


def replayed(house: Platform) -> int:
    """How many requests the gate's newest report tells of; as many as were asked, but for what was under way."""
    report = json.loads(house.command("gate", "gated", "--output", "json").stdout)["report"]
    told = report["served_entities"]["gated-2"]
    assert told["errors"]["count"] == 3
    assert told["answers"]["compared"] == told["answers"]["exact"] == told["requests"] - 3 > 0
    return int(told["requests"])
