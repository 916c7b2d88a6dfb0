"""Endpoints that follow an alias or a stage of the embedded registry, promoted by MLflow's own client under load."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.e2e.conftest import register
from tests.e2e.load import Answer, Load
from tests.e2e.running_platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RATE = 60

Point = Callable[[str], object]
"""Promotes a version."""


@pytest.fixture(scope="module")
def request_body(house: Platform) -> Any:
    """Registers `stamped`: three versions with the same lock that differ in what they answer. What to ask them."""
    first, *_ = (register(house, "stamped", "stamped") for _ in range(3))
    return first


@pytest.fixture
def registry(house: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow's client, as a person's script has it."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", house.token)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        yield MlflowClient(tracking_uri=f"{house.url}/mlflow")


class Promotions:
    """Promotes one version after the other under load, and knows what each of them answers."""

    def __init__(self, house: Platform, name: str, load: Load, point: Point) -> None:
        self._house, self._name, self._load, self._point = house, name, load, point
        self._texts: dict[str, str] = {}
        self.seconds: list[float] = []  # from a promotion to the first answer of its version
        self.order: list[str] = []  # the answers of what served, one after the other
        self._serves(self._serving())

    def to(self, version: str) -> None:
        """Promote, and wait until it is this version that answers."""
        promoted = time.monotonic()
        self._point(version)
        self._serves(version)
        answers = [a for a in self._load.outcome.answers if a.received > promoted and a.text == self.order[-1]]
        self.seconds.append(min(answer.received for answer in answers) - promoted)
        assert self._serving() == version

    def _serves(self, version: str) -> None:
        until(lambda: self._answers_as(version), 60)
        self._texts[version] = self._load.outcome.answers[-1].text
        self.order.append(self._texts[version])

    def _answers_as(self, version: str) -> bool:
        answers = self._load.outcome.answers
        known = self._texts.get(version)
        if not answers:
            return False
        return answers[-1].text == known if known else answers[-1].text not in self._texts.values()

    def _serving(self) -> str:
        return str(self._house.get(self._name)["config"]["served_entities"][0]["resolved_version"])


def promote_under_load(house: Platform, body: Any, name: str, point: Point, versions: Sequence[str]) -> list[float]:
    """Promote; every request is answered, by the old version or the new one, in order. The seconds that each took."""
    with Load(house, name, body, RATE) as load:
        promotions = Promotions(house, name, load, point)
        for version in versions:
            promotions.to(version)
            time.sleep(0.3)
    print(f"FIGURE promotion to first answer, {RATE} requests/s: {[round(s, 2) for s in promotions.seconds]} s")
    assert load.outcome.lost == {}
    assert_in_order(load.outcome.answers, promotions.order)
    return promotions.seconds


def assert_in_order(answers: Sequence[Answer], order: Sequence[str]) -> None:
    """What was sent after an answer of the next version had come is never answered by the one before."""
    at, since = 0, 0.0
    for answer in sorted(answers, key=lambda answer: answer.received):
        if at + 1 < len(order) and answer.text == order[at + 1]:
            at, since = at + 1, answer.received
        elif answer.text != order[at]:
            assert at, answer
            assert answer.text == order[at - 1]
            assert answer.sent <= since
    assert at == len(order) - 1


def test_an_alias_is_followed_and_nothing_is_lost(house: Platform, request_body: Any, registry: Any) -> None:
    registry.set_registered_model_alias("stamped", "champion", "1")
    house.launch("follows-alias", "stamped", "@champion")

    def point(version: str) -> None:
        registry.set_registered_model_alias("stamped", "champion", version)

    promote_under_load(house, request_body, "follows-alias", point, ["2", "3"])
    house.settled("follows-alias")  # an answer comes a moment before the switch is written as done
    shown = house.command("show", "follows-alias").stdout
    assert "'stamped-champion' follows '@champion' of model 'stamped'; here it is version 3." in shown
    registry.delete_registered_model_alias("stamped", "champion")
    until(lambda: "pointer_lost" in events(house, "follows-alias"), 60)
    assert house.score("follows-alias", request_body).status_code == 200
    told = [kind for kind in events(house, "follows-alias") if kind in ("promotion_seen", "promoted", "pointer_lost")]
    assert told == ["promoted", "promotion_seen", "promoted", "promotion_seen", "promoted", "pointer_lost"]


def test_a_stage_is_followed_there_and_back(house: Platform, request_body: Any, registry: Any) -> None:
    def point(version: str) -> None:
        registry.transition_model_version_stage("stamped", version, "Production", archive_existing_versions=True)

    point("1")
    house.launch("follows-stage", "stamped", "Production")
    promote_under_load(house, request_body, "follows-stage", point, ["2", "1"])


def test_of_promotions_in_a_row_the_last_is_served(house: Platform, request_body: Any, registry: Any) -> None:
    registry.set_registered_model_alias("stamped", "hurried", "1")
    house.launch("hurried", "stamped", "@hurried")

    def serving() -> str:
        return str(house.get("hurried")["config"]["served_entities"][0]["resolved_version"])

    with Load(house, "hurried", request_body, RATE) as load:
        for version in ("2", "1", "3"):
            registry.set_registered_model_alias("stamped", "hurried", version)
        until(lambda: serving() == "3", 60)
    assert load.outcome.lost == {}
    assert house.settled("hurried")["config"]["served_entities"][0]["resolved_version"] == "3"


@pytest.mark.acceptance
def test_what_was_rolled_back_stays_away_until_the_alias_moves(
    house: Platform, request_body: Any, registry: Any
) -> None:
    registry.set_registered_model_alias("stamped", "doubted", "1")
    house.launch("doubted", "stamped", "@doubted")

    def point(version: str) -> None:
        if version == "1":
            house.command("rollback", "doubted")
            registry.set_registered_model_alias("stamped", "another", "1")  # so that the follower looks
            time.sleep(2)
        else:
            registry.set_registered_model_alias("stamped", "doubted", version)

    promote_under_load(house, request_body, "doubted", point, ["2", "1", "3"])
    kinds = ("promotion_seen", "promoted", "rolled_back")
    told = [kind for kind in events(house, "doubted") if kind in kinds]
    assert told == ["promoted", "promotion_seen", "promoted", "rolled_back", "promotion_seen", "promoted"]


@pytest.mark.acceptance
def test_a_promotion_is_served_within_five_seconds(house: Platform, request_body: Any, registry: Any) -> None:
    registry.set_registered_model_alias("stamped", "quick", "1")
    house.launch("quick", "stamped", "@quick")

    def point(version: str) -> None:
        registry.set_registered_model_alias("stamped", "quick", version)

    assert max(promote_under_load(house, request_body, "quick", point, [*"231231231231"])) < 5


def events(house: Platform, name: str) -> list[str]:
    with house.client() as client:
        return [event["type"] for event in client.get(f"/api/tidegate/v1/endpoints/{name}/events").json()["events"]]
