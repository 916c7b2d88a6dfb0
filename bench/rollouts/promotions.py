"""Promotions by alias under load: none lost, none out of order, and how soon the new version answers."""

import argparse

from bench.claims import Claims
from bench.outcome import percentile
from bench.rollouts.house import rollout_house, told
from bench.rollouts.stream import Stream
from bench.rollouts.turns import Turns

TIMES, RATE, VERSIONS, SECONDS = 500, 500.0, ("1", "2", "3"), 2.0
NAME = "promoted"


def options(parser: argparse.ArgumentParser) -> None:
    """How often, and how many requests a second."""
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second")
    parser.add_argument("--gateways", type=int, default=1)


def run(chosen: argparse.Namespace, claims: Claims) -> None:
    """Measure on a platform of its own."""
    with rollout_house(environment={"TIDEGATE_SERVER__GATEWAYS": str(chosen.gateways)}) as house:
        request, *_ = (house.register("stamped") for _ in VERSIONS)
        point = house.alias("champion")
        point(VERSIONS[0])
        house.platform.launch(NAME, "stamped", "@champion")
        measure(claims, Turns(Stream(house.target(NAME, request), chosen.rate), point), chosen)


def measure(claims: Claims, turns: Turns, chosen: argparse.Namespace) -> None:
    """Promote under the stream, and tell."""
    with turns.stream:
        turns.begin()
        turns.learn(VERSIONS)
        seconds = turns.take(chosen.times)
    what = f"{chosen.times} promotions under {chosen.rate:g} requests/s"
    turns.hold(claims, what)
    met = percentile(seconds, 50) < SECONDS
    claims.hold(f"{what}, same lock: first answer p50 < {SECONDS:g} s", told(seconds), met=met)
    waits = [answer.received - answer.sent for answer in turns.stream.answers]
    shown = ", ".join(f"p{p:g} {percentile(waits, p) * 1000:.0f} ms" for p in (50, 99, 99.9, 100))
    claims.tell(f"{what}: answers took", shown)
