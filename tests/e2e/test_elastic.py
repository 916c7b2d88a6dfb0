"""Endpoints go to zero and come back: nothing is lost on the way, whoever is killed meanwhile. A smoke; more of it, and
the full size, are in `make acceptance ONLY=elasticity`.
"""

import contextlib
import time

import pytest
import uvloop
from bench.arrivals import Step
from bench.cold_request import Caller
from bench.elastic import faults, hanging, races
from bench.elastic.house import House, until

from bench import open_loop
from tests.e2e.conftest import Registered
from tests.e2e.running_platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def elastic(house: Platform, iris: Registered) -> House:
    """The shared platform, to break, with two endpoints at zero."""
    elastic = House(house, {"wine": iris.request})  # the races ask with the request of that name
    for name in NAMES:
        elastic.create(name, "iris")
    for name in NAMES:
        house.settled(name)
    return elastic


NAMES = ["first", "second"]
# In `make test`, control, agent and replica are killed under load in test_faults.py, and the template in
# tests/engines/templates/test_templates.py; here they are killed while endpoints wake.
VICTIMS = [
    victim if victim.endswith("replica") else pytest.param(victim, marks=pytest.mark.acceptance)
    for victim in faults.VICTIMS
]


def test_an_endpoint_at_zero_answers(elastic: House) -> None:
    with contextlib.closing(Caller(elastic.platform)) as caller:
        for name in NAMES:
            elastic.wait_at_zero(name)
            cold = caller.call(name, elastic.requests["wine"])
            assert (cold.status, cold.cold) == (200, True), cold
            assert elastic.platform.get(name)["state"]["ready"] == "READY"


def test_requests_that_race_with_scale_to_zero_are_answered(elastic: House) -> None:
    before = races.zeros(elastic, NAMES)
    outcome = uvloop.run(races.race(elastic, NAMES, 6))
    until(lambda: races.zeros(elastic, NAMES) >= before + 2, "endpoints went to zero", 10)
    assert outcome.errors == {}
    assert set(outcome.by_status) == {200}


@pytest.mark.acceptance
def test_requests_that_hang_cost_only_themselves(elastic: House) -> None:
    elastic.add_model("moody", "moody")
    elastic.launch("hanging", "moody", workload_size="Medium", timeout_seconds=0.5, idle_timeout_seconds=60)
    bodies = [hanging.FINE] * 10 + [hanging.HANGS] + [hanging.FINE] * 9
    outcome = open_loop.run(elastic.target("hanging", *bodies), [Step(hanging.RATE, 5)])
    assert {sample.status for sample in outcome if sample.kind != 10} == {200}, outcome.errors
    assert {sample.status for sample in outcome if sample.kind == 10} == {504}, outcome.errors


@pytest.mark.parametrize("victim", VICTIMS, ids=lambda victim: victim.split()[1])
def test_killed_while_endpoints_wake_nothing_is_lost(elastic: House, victim: str) -> None:
    outcome, kills = faults.kill_under_load(elastic, NAMES, victim, 5)
    assert kills > 0
    assert outcome.errors == {}
    deadline = time.monotonic() + 20
    while not faults.works(elastic, NAMES):
        assert time.monotonic() < deadline
        time.sleep(0.1)
