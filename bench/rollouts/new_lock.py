"""Promotions to versions whose lock is new while its packages are cached: an environment is made before they serve."""

import argparse
import itertools

from bench.claims import Claims
from bench.outcome import percentile
from bench.rollouts.house import rollout_house, told
from bench.rollouts.stream import Stream
from bench.rollouts.turns import Turns

ROUNDS, RATE, SECONDS = 6, 100.0, 15.0
NAME = "relocked"
PACKAGES = ("six==1.17.0", "toolz==1.0.0", "wcwidth==0.2.13", "sortedcontainers==2.4.0")


def options(parser: argparse.ArgumentParser) -> None:
    """How many rounds; there are as many locks as subsets of these packages."""
    parser.add_argument("--rounds", type=int, default=ROUNDS, choices=range(1, len(locks()) + 1), metavar="ROUNDS")
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second")


def locks() -> list[str]:
    """The kinds of the zoo with these locks; the first has all packages, so that they are cached from then on."""
    sizes = range(len(PACKAGES), 0, -1)
    return ["+".join(("stamped", *chosen)) for size in sizes for chosen in itertools.combinations(PACKAGES, size)]


def run(chosen: argparse.Namespace, claims: Claims) -> None:
    """Measure on a platform of its own."""
    with rollout_house() as house:
        request = house.register("stamped")
        kinds = locks()[: chosen.rounds + 1]
        for kind in kinds:
            house.register(kind)
        point = house.alias("champion")
        point("1")
        house.platform.launch(NAME, "stamped", "@champion")
        turns = Turns(Stream(house.target(NAME, request), chosen.rate), point)
        with turns.stream:
            turns.begin()
            turns.learn(["1"])
            seconds = [turns.to_unknown(str(number + 2)) for number, _ in enumerate(kinds)]
    cached = seconds[1:]
    what = f"{len(cached)} promotions with a new lock of cached packages under {chosen.rate:g} requests/s"
    turns.hold(claims, what)
    claims.hold(
        f"{what}: first answer < {SECONDS:g} s, every time", told(cached), met=percentile(cached, 100) < SECONDS
    )
    claims.tell("each of them", ", ".join(f"{each:.1f} s" for each in cached))
