"""The whole zoo behind one gateway: nobody gets a wrong answer, nobody pays for a neighbour, nobody waits for ever."""

import os
import time
from pathlib import Path

import pytest

from tests.gateway.menagerie import ANIMALS, Menagerie, endpoint, menagerie
from tests.gateway.visitors import Tally, send_in
from tests.gateway.visits import everything
from tests.worker import zoo
from tidegate_worker.proof.verdict import OFF, PROVED

VISITORS = 96
Scrape = dict[str, dict[str, dict[str, float]]]


@pytest.mark.parametrize(
    "count",
    [
        4_000,
        pytest.param(
            int(os.environ.get("TIDEGATE_ZOO_REQUESTS", "1000000")),
            marks=[pytest.mark.acceptance, pytest.mark.timeout(3600)],
            id="full size",
        ),
    ],
)
async def test_every_visitor_gets_its_own_answer(tmp_path: Path, count: int) -> None:
    corpus = everything(count)
    async with menagerie(tmp_path) as house:
        assert {verdict.mode for verdict in house.verdicts.values()} == {OFF}  # all are code of their owner's
        began = time.monotonic()
        tally = await send_in(house.port, corpus, count, VISITORS)
        seconds = time.monotonic() - began
        told = await house.settled()
        house.look()
        found_out(house)
    print(figure(tally, told, count, seconds))
    assert (tally.wrong[:5], tally.hanging[:5]) == ([], [])
    assert tally.done == count
    for animal in ANIMALS:
        balances(animal, tally, told)


def found_out(house: Menagerie) -> None:
    """Who may be predicted together: nobody who must not. On a busy machine some proofs may lack the time.

    There a model may also seem slow, and is then proved for smaller batches only: `large_batches` rightly so.
    """
    verdicts = house.verdicts
    together = [animal for animal in zoo.NOT_ROW_WISE if verdicts[animal].mode != OFF]
    assert together == [] or (together == ["large_batches"] and 0 < verdicts["large_batches"].rows <= zoo.SAFE_ROWS)
    proved = [animal for animal in zoo.ROW_WISE if verdicts[animal].mode == PROVED]
    assert proved
    assert [animal for animal in zoo.ROW_WISE if animal not in proved and not verdicts[animal].thin] == []
    print(f"FIGURE zoo: {len(proved)} of {len(zoo.ROW_WISE)} row-wise models proved, none of the others")


def balances(animal: str, tally: Tally, told: Scrape) -> None:
    """The platform's account of an endpoint against that of its callers."""
    account = told[endpoint(animal)]
    accepted = account["tidegate_requests_total"][""]
    outcomes = account["tidegate_request_outcomes_total"]
    assert accepted == sum(outcomes.values())
    assert (outcomes["rejected"], outcomes["timed_out"], outcomes["lost"]) == (0, 0, 0)
    assert sum(account["tidegate_in_flight"].values()) == sum(account["tidegate_queued"].values()) == 0
    # Who went away may have been answered at the last moment, or have been gone before its first byte was read.
    answered, gone = tally.answered(animal), tally.gone[animal]
    assert answered <= outcomes["answered"] <= answered + gone
    assert answered <= accepted <= answered + gone
    responses = account["tidegate_responses_total"]
    assert set(responses) <= {"200", "400"}
    assert sum(responses.values()) == outcomes["answered"]
    assert responses.get("400", 0) >= tally.poisoned[animal]
    assert sum(account["tidegate_reruns_total"].values()) == 0


def figure(tally: Tally, told: Scrape, count: int, seconds: float) -> str:
    accounts = [told[endpoint(animal)] for animal in ANIMALS]
    accepted = sum(account["tidegate_requests_total"][""] for account in accounts)
    ended = sum(sum(account["tidegate_request_outcomes_total"].values()) for account in accounts)
    return (
        f"FIGURE zoo of {len(ANIMALS)}, {count:,} requests of {VISITORS} callers in {seconds:.0f} s: "
        f"{tally.right.total():,} right, {tally.poisoned.total():,} poisoned and refused, "
        f"{tally.gone.total():,} hung up, {len(tally.wrong)} wrong, {len(tally.hanging)} hanging; "
        f"ledger: {accepted:,.0f} accepted, {ended:,.0f} ended"
    )
