"""Roll-outs in trouble: the registry away or slow, promotions that overtake each other, control killed at each step.

Each ends in the last asked version, and no request is lost.
"""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.claims import Claims
from bench.rollouts.far_registry import FarRegistry, far_registry
from bench.rollouts.house import House, rollout_house, told
from bench.rollouts.new_lock import locks
from bench.rollouts.stream import Stream
from bench.rollouts.trouble import Trouble
from bench.rollouts.turns import Point, Turns

NAME, RATE, VERSIONS = "troubled", 100.0, ("1", "2", "3")
AWAY_SECONDS, SHORT_AWAY_SECONDS, SLOW_SECONDS = 600.0, 10.0, 2.5
SLOW_ROUNDS, ROWS, BUILDS, KILLS, KILLED_WITHIN_SECONDS = 3, 10, 3, 20, 2.0


def options(parser: argparse.ArgumentParser) -> None:
    """How long, how often, and which."""
    parser.add_argument("--away-seconds", type=float, default=AWAY_SECONDS)
    parser.add_argument("--kills", type=int, default=KILLS, help="in a sweep after a promotion, besides each event")
    parser.add_argument("--only", nargs="+", default=["registry", "overtaken", "control"], metavar="FAULT")


def run(chosen: argparse.Namespace, claims: Claims) -> None:
    """Measure on platforms of its own."""
    if "registry" in chosen.only:
        with far_registry() as far, rollout_house("--registry-uri", far.through_the_door, registry=far.uri) as house:
            _hold(house, claims, "registry away and slow", lambda trouble: _registry(trouble, far, chosen.away_seconds))
    if {"overtaken", "control"} & set(chosen.only):
        with rollout_house() as house:
            if "overtaken" in chosen.only:
                _hold(house, claims, "promotions overtaken", _overtaken)
            if "control" in chosen.only:
                _hold(house, claims, "control killed", lambda trouble: _control(trouble, chosen.kills, claims))


@dataclass(frozen=True)
class Place:
    """An endpoint that follows an alias of its own; `texts` is what each version is known to answer."""

    house: House
    name: str
    point: Point
    texts: dict[str, str] = field(default_factory=dict)


def place(house: House) -> Place:
    """A new endpoint, for one of three versions with one lock."""
    if not house.registry.search_model_versions("name='stamped'"):
        for _ in VERSIONS:
            house.register("stamped")
    name = f"{NAME}-{len(house.call('GET', '/api/2.0/serving-endpoints')['endpoints'])}"
    point = house.alias(name)
    point(VERSIONS[0])
    house.platform.launch(name, "stamped", f"@{name}")
    return Place(house, name, point)


@contextlib.contextmanager
def troubled(where: Place, rate: float = RATE) -> Iterator[Trouble]:
    """The endpoint under requests."""
    turns = Turns(Stream(where.house.target(where.name, REQUEST), rate), where.point, where.texts)
    with turns.stream:
        turns.begin()
        yield Trouble(where.house, where.name, turns)


REQUEST = {"dataframe_records": [{"a": 1.5}]}


def _hold(house: House, claims: Claims, what: str, happen: Callable[[Trouble], None]) -> None:
    missed = ""
    with troubled(place(house)) as trouble:
        try:
            trouble.learn(VERSIONS)
            happen(trouble)
        except (TimeoutError, AssertionError, SystemExit) as why:
            missed = f"{type(why).__name__}: {why}; {trouble.house.platform.get(trouble.name)['state']}"
            claims.tell("the last events", ", ".join(trouble.told()[-12:]))
    for fault, seconds in trouble.seconds.items():
        claims.tell(f"{fault}, {len(seconds)} times: from the promotion to its first answer", told(seconds))
    claims.hold(f"{what}: always ends in the last asked version", missed or "so it was", met=not missed)
    trouble.turns.hold(claims, what)


def _registry(trouble: Trouble, far: FarRegistry, away_seconds: float) -> None:
    others, door = trouble.others(), far.door
    for _ in range(SLOW_ROUNDS):
        trouble.slow(door, SLOW_SECONDS, next(others))
    trouble.away(door, SHORT_AWAY_SECONDS, before=next(others))
    trouble.away(door, SHORT_AWAY_SECONDS, during=next(others))
    trouble.away(door, SHORT_AWAY_SECONDS, after=next(others))
    trouble.away(door, away_seconds, before=next(others), during=next(others))


def _overtaken(trouble: Trouble) -> None:
    for row in range(ROWS):
        trouble.two_in_a_row(row / ROWS)
    for kind in locks()[-BUILDS:]:
        trouble.house.register(kind)
        newest = max(int(v.version) for v in trouble.house.registry.search_model_versions("name='stamped'"))
        trouble.during_a_build(str(newest))


def _control(trouble: Trouble, kills: int, claims: Claims) -> None:
    steps = trouble.steps()
    claims.tell("the steps of a roll-out", ", ".join(steps))
    for step in steps:
        trouble.kill_control_at(step)
    for number in range(kills):
        trouble.kill_control_after(number * KILLED_WITHIN_SECONDS / kills)
