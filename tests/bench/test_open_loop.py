"""The load generator sends when it is due, charges stalls to the server, and counts what it got."""

import itertools
import time

import pytest
from bench.arrivals import Step, arrivals
from bench.outcome import Outcome, Sample, percentile
from bench.senders import Target

from bench import open_loop
from tests.bench.echo_server import echo_server


def test_even_arrivals_follow_their_steps() -> None:
    due = list(arrivals([Step(10, 1), Step(0, 1), Step(4, 0.5)]))
    assert due[:3] == pytest.approx([0, 0.1, 0.2])
    assert len(due) in (12, 13)  # 1 / 10 added up ten times may stay below 1
    assert due[-2:] == pytest.approx([2.0, 2.25])


def test_poisson_arrivals_have_their_rate_and_can_be_repeated() -> None:
    due = list(arrivals([Step(100, 50)], poisson=True, seed=7))
    assert 4600 < len(due) < 5400
    assert due == sorted(due) == list(arrivals([Step(100, 50)], poisson=True, seed=7))
    gaps = [after - before for before, after in itertools.pairwise(due)]
    assert min(gaps) < 0.001 < 0.03 < max(gaps)


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    assert [percentile([1, 2, 3, 4], p) for p in (0, 25, 50, 99, 100)] == [1, 1, 2, 4, 4]


def test_the_series_has_every_second_and_what_failed_in_it() -> None:
    outcome = Outcome()
    for due, status in ((0.1, 200), (0.9, 503), (2.5, 200)):
        outcome.add(Sample(due, 0.01, status), "away")
    assert [(row.sent, row.failed) for row in outcome.series()] == [(2, 1), (0, 0), (1, 0)]
    assert (outcome.failed, outcome.errors) == (1, {"503: away": 1})


@pytest.mark.parametrize("processes", [1, 2])
def test_every_request_is_sent_and_counted(processes: int) -> None:
    with echo_server() as url:
        target = Target(url, (b"fine", b"refuse"))
        outcome = open_loop.run(target, [Step(200, 0.5)], processes=processes)
    assert len(outcome) in (100, 101, 102)
    assert set(outcome.by_status) == {200, 503}
    assert outcome.errors == {"503: ok": outcome.failed}
    assert {sample.status for sample in outcome if sample.kind == 0} == {200}


def test_a_stall_is_charged_to_all_that_were_due_meanwhile() -> None:
    """One connection, the first request takes half a second: a closed loop would report one slow request."""
    with echo_server() as url:
        target = Target(url, (b"slow 0.5", *[b"fine"] * 99), connections=1)
        outcome = open_loop.run(target, [Step(100, 0.9)])
    slow = [sample for sample in outcome if sample.seconds > 0.1]
    assert len(slow) >= 30
    assert outcome.failed == 0


def test_a_slow_answer_does_not_hold_up_others() -> None:
    with echo_server() as url:
        outcome = open_loop.run(Target(url, (b"slow 1", *[b"fine"] * 9)), [Step(50, 1)])
    fine = outcome.latencies(lambda sample: sample.kind != 0)
    assert len(fine) >= 45
    assert percentile(fine, 50) < 0.5


def test_what_is_hung_up_on_has_failed_and_others_go_on() -> None:
    with echo_server() as url:
        outcome = open_loop.run(Target(url, (b"hang up", b"fine"), connections=2), [Step(100, 0.2)])
    assert outcome.by_status == {0: 10, 200: 10}


def test_in_the_background_until_told_to_stop() -> None:
    with echo_server() as url, open_loop.Background(Target(url, (b"fine",)), rate=100) as load:
        deadline = time.monotonic() + 10
        while len(load.outcome) < 20:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert load.outcome.failed == 0


def test_nobody_listens() -> None:
    with echo_server() as url:
        pass
    outcome = open_loop.run(Target(url, (b"fine",)), [Step(20, 0.2)])
    assert outcome.by_status == {0: 4}
