"""One request among many hangs for ever, or ends its process: it alone pays, and every neighbour gets its answer.

The replica starts again in between, which takes seconds: the callers' time is long enough for that, and no longer.
"""

import asyncio

import pytest

from tests.e2e.conftest import register
from tests.e2e.crowd import Answer, all_at_once
from tests.e2e.running_platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TIMEOUT_SECONDS = 30
# Model → what its batching must be found to be.
MODELS = {"crowded": "proved", "crowded_apart": "off"}


@pytest.fixture(scope="module")
def endpoints(house: Platform) -> list[str]:
    """An endpoint whose requests are predicted together, and one where that is not so."""
    found = []
    for kind, mode in MODELS.items():
        name = kind.replace("_", "-")
        register(house, kind, name)
        house.launch(name, name, timeout_seconds=TIMEOUT_SECONDS)
        for number in range(100):  # usual requests tell whether they may be predicted together
            body = {"dataframe_records": [{"x": number / 4, "mood": "fine"}]}
            assert house.score(name, body).json() == {"predictions": [number / 2]}
        until_batching(house, name, mode)
        found.append(name)
    return found


def until_batching(house: Platform, endpoint: str, mode: str) -> None:
    def so() -> bool:
        [served] = house.get(endpoint)["config"]["served_entities"]
        return bool(served["state"]["batching"]["mode"] == mode)

    until(so, 30)


@pytest.mark.parametrize(("mood", "status"), [pytest.param("hang", 504, marks=pytest.mark.acceptance), ("die", 500)])
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.acceptance)])
async def test_the_guilty_one_alone_pays(
    house: Platform, endpoints: list[str], count: int, mood: str, status: int
) -> None:
    guilty = count // 2
    bodies = [{"dataframe_records": [{"x": n / 4, "mood": mood if n == guilty else "fine"}]} for n in range(count)]
    crowds = await asyncio.gather(*(all_at_once(house, endpoint, bodies) for endpoint in endpoints))
    for endpoint, answers in zip(endpoints, crowds, strict=True):
        print(figure(endpoint, mood, answers, guilty))
        others = {n: answer for n, answer in enumerate(answers) if n != guilty}
        assert {n: answer for n, answer in others.items() if answer.status != 200} == {}
        assert [answer.document for answer in others.values()] == [{"predictions": [n / 2]} for n in others]
        assert answers[guilty].status == status, answers[guilty]


def figure(endpoint: str, mood: str, answers: list[Answer], guilty: int) -> str:
    others = [answer for n, answer in enumerate(answers) if n != guilty]
    right, slowest = sum(answer.status == 200 for answer in others), max(answer.seconds for answer in others)
    alone = answers[guilty]
    return (
        f"FIGURE {len(answers):,} at once to '{endpoint}', one with '{mood}': it got {alone.status} "
        f"after {alone.seconds:.1f} s, {right:,} of {len(others):,} neighbours 200, the slowest after {slowest:.1f} s"
    )
