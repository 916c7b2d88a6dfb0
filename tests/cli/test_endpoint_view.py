"""Reading an endpoint's JSON."""

import pytest

from tidegate.cli.endpoint_view import ConfigView, EndpointView, ServedView


@pytest.mark.parametrize(
    ("ready", "update", "words"),
    [
        ("READY", "NOT_UPDATING", "Ready"),
        ("READY", "IN_PROGRESS", "Ready (updating)"),
        ("READY", "UPDATE_FAILED", "Ready (update failed)"),
        ("NOT_READY", "IN_PROGRESS", "Not ready (updating)"),
        ("SOMETHING_NEW", "NOT_UPDATING", "SOMETHING_NEW"),
    ],
)
def test_states_in_words(ready: str, update: str, words: str) -> None:
    assert EndpointView({"state": {"ready": ready, "config_update": update}}).words == words


@pytest.mark.parametrize(
    ("ready", "count", "word"),
    [("READY", 2, "2"), ("READY", 0, "asleep"), ("NOT_READY", 0, "0"), ("READY", None, "")],
)
def test_replicas_in_a_word(ready: str, count: int | None, word: str) -> None:
    state = {"ready": ready} if count is None else {"ready": ready, "replicas": count}
    assert EndpointView({"state": state}).replicas == word


def test_a_failed_update_beside_what_is_recovering_is_one_of_an_update() -> None:
    state = {"ready": "NOT_READY", "config_update": "UPDATE_FAILED"}
    first = {"state": state, "config": {"config_version": 1}, "failed_config": {"config_version": 1}}
    second = {**first, "failed_config": {"config_version": 2}}
    assert EndpointView(first).words == "Not ready (failed)"
    assert EndpointView(second).words == "Not ready (update failed)"


def test_an_answer_with_nothing_in_it_reads_as_nothing() -> None:
    empty = EndpointView({})
    assert (empty.name, empty.words, empty.message, empty.updating, empty.update_failed) == ("", "", "", False, False)
    assert [*empty.serving, *empty.coming, *empty.failed] == []


def test_models_as_mlflow_writes_them() -> None:
    assert ServedView({"entity_name": "wine", "entity_version": "3"}).model == "wine/3"
    assert ServedView({"entity_name": "wine", "entity_version": "@champion"}).model == "wine@champion"


def test_what_follows_says_so() -> None:
    champion = {"name": "it", "entity_name": "wine", "entity_version": "@champion", "resolved_version": "3"}
    sentence = "'it' follows '@champion' of model 'wine'; here it is version 3."
    assert ServedView({**champion, "pointer": "followed"}).following == sentence
    lost = f"{sentence} That points nowhere now, so nothing changes."
    assert ServedView({**champion, "pointer": "lost"}).following == lost
    assert ServedView({"name": "it", "entity_name": "wine", "entity_version": "3"}).following == ""


def test_shares_by_either_name() -> None:
    config = ConfigView(
        {
            "traffic_config": {
                "routes": [
                    {"served_entity_name": "a", "traffic_percentage": 90},
                    {"served_model_name": "b", "traffic_percentage": "10"},
                ]
            }
        }
    )
    assert [config.share(ServedView({"name": name})) for name in "abc"] == [90, 10, None]
