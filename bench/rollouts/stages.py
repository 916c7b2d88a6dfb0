"""Promotions by stage, under load that comes through the legacy URL of Serverless Real-Time Inference."""

import argparse
import time

import httpx

from bench.claims import Claims
from bench.rollouts import promotions
from bench.rollouts.house import MODEL, House, rollout_house
from bench.rollouts.stream import Stream
from bench.rollouts.turns import Turns

TIMES, RATE, STAGE, START_SECONDS = 100, 500.0, "Production", 300.0
_ENABLE = "/api/2.0/preview/mlflow/endpoints-v2/enable"
_URL = f"/model-endpoint/{MODEL}/{STAGE}/invocations"


def options(parser: argparse.ArgumentParser) -> None:
    """How often, and how many requests a second."""
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second")


def run(chosen: argparse.Namespace, claims: Claims) -> None:
    """Measure on a platform of its own."""
    with rollout_house() as house:
        request, *_ = (house.register("stamped") for _ in promotions.VERSIONS)
        point = house.stage(STAGE)
        point(promotions.VERSIONS[0])
        house.call("POST", _ENABLE, {"registered_model_name": MODEL})
        _wait_until_up(house, request)
        promotions.measure(claims, Turns(Stream(house.target(_URL, request), chosen.rate), point), chosen)


def _wait_until_up(house: House, request: object) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            house.call("POST", _URL, request)
        except httpx.HTTPStatusError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{_URL} did not come up: {error}") from None
            time.sleep(0.5)
        else:
            return
