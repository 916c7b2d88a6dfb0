"""The slowest of the last quarter of an hour are those of all requests, and few are kept to know them."""

import random
import tracemalloc

import pytest

from tidegate.core.planes.noted_requests import KEPT_SECONDS, MOST_NOTED, NotedRequest
from tidegate.gateway.metering.slowest import Slowest


def a_request(at: float, seconds: float, status: int = 200, sentence: str = "") -> NotedRequest:
    number = f"{int(at * 1000):032x}"
    return NotedRequest(
        at, seconds, status, "wine-1", number, (seconds / 2, 0.0, 0.0, seconds / 2, 0.0, 0.0), 4, "", sentence
    )


def kept(slowest: Slowest) -> int:
    return sum(len(requests) for _, requests in slowest._past) + len(slowest._now)


@pytest.mark.parametrize("shape", ["steady", "rising", "falling", "alike"])
def test_the_slowest_are_those_of_all_requests(shape: str) -> None:
    source = random.Random(1)
    slowest, every, now = Slowest("wine"), list[NotedRequest](), 1_000_000.0
    for step in range(6000):
        now += source.expovariate(4)
        seconds = {"steady": 1.0, "rising": 1 + step / 1000, "falling": 9 - step / 1000, "alike": 0.0}[shape]
        every.append(a_request(now, seconds * source.lognormvariate(-5, 1)))
        slowest.tick(now)
        if every[-1].seconds > slowest.above:
            slowest.note(every[-1])
        if step % 500 == 0:
            for later in (now, now + 300):
                recent = [request for request in every if later - request.at <= KEPT_SECONDS]
                wanted = sorted((request.seconds for request in recent), reverse=True)[:MOST_NOTED]
                assert [request.seconds for request in slowest.noted(later).slowest] == wanted
        assert kept(slowest) <= 16 * MOST_NOTED
    if shape == "steady":
        assert kept(slowest) < 160


def test_the_newest_errors_are_told_newest_first_and_slow_ones_are_slow_too() -> None:
    slowest = Slowest("wine")
    for number in range(50):
        slowest.note_error(a_request(1000.0 + number, 0.001 * number, 503, f"sentence {number}"))
    told = slowest.noted(1050.0)
    assert [request.sentence for request in told.errors] == [f"sentence {49 - n}" for n in range(MOST_NOTED)]
    assert [request.seconds for request in told.slowest] == [0.001 * (49 - n) for n in range(MOST_NOTED)]


def test_another_minute_begins_without_the_bar_of_the_last_one() -> None:
    slowest = Slowest("wine")
    for number in range(30):
        slowest.note(a_request(1000.0, 1.0 + number))
    assert slowest.above == 11.0
    slowest.tick(1060.0)
    assert slowest.above < 0
    slowest.note(a_request(1061.0, 0.5))
    assert slowest.noted(1061.0).slowest[-1].seconds == 11.0
    assert [request.seconds for request in slowest.noted(1000.0 + KEPT_SECONDS + 1).slowest] == [0.5]


def test_a_clock_that_is_put_back_keeps_what_is_not_ahead() -> None:
    slowest = Slowest("wine")
    slowest.note(a_request(10_000.0, 1.0))
    slowest.note(a_request(6_000.0, 2.0))
    slowest.tick(6_100.0)
    assert 2.0 in [request.seconds for request in slowest.noted(6_100.0).slowest]
    assert kept(slowest) == 1


def test_what_endpoints_keep_is_bounded() -> None:
    # Of 100 endpoints, each as full as it can be: ever less slow, so that all of the 15 minutes is kept.
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    full = [Slowest(f"endpoint-{number}") for number in range(100)]
    for slowest in full:
        for minute in range(40):
            for number in range(MOST_NOTED + 5):
                slowest.note(a_request(1000.0 + 60 * minute + number / 100, 100.0 - minute - number / 100))
        for number in range(100):
            slowest.note_error(replaced(number))
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert all(kept(slowest) <= 16 * MOST_NOTED for slowest in full)
    assert used / len(full) < 100_000  # bytes; of steady traffic it is a quarter of that


def replaced(number: int) -> NotedRequest:
    return a_request(3500.0 + number / 1000, 0.0, 500, "x" * 290 + f"{number:010}")


@pytest.mark.parametrize("cold", ["", "fork", "spawn"])
@pytest.mark.parametrize("steps", [(), (0.5, 0.25, 0.125, 0.0, 1.0, 2.0)])
def test_what_is_told_is_what_was_noted(cold: str, steps: tuple[float, ...]) -> None:
    slowest = Slowest("wine")
    request = NotedRequest(1000.25, 3.1, 504, "wine · version 2", "é" * 64, steps, 1024, cold)
    slowest.note(request)
    assert slowest.noted(1001.0).slowest == (request,)
