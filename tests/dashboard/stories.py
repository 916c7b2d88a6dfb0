"""Endpoints with a history, for the preview and the tests: split, held back, failed, updating, with hostile texts."""

import asyncio
from dataclasses import replace

from tests.control.house import NO_BUILD, House, an_entity
from tests.fakes.slow_requests import FakeSlowRequests
from tidegate.control.endpoints.endpoint_requests import ConfigRequest, EndpointRequest
from tidegate.core.endpoint.endpoint import Route
from tidegate.core.planes.noted_requests import NotedRequest, NotedRequests
from tidegate.core.rollout.replay import Findings, Memory, Replay, Times

HOSTILE = "<script>alert('x')</script> </pre>{{ 7 * 7 }} \u202egnp.exe"
MB = 1_000_000


async def settled(house: House, *names: str) -> None:
    """Wait until no update is under way."""
    async with asyncio.timeout(30):
        for name in names:
            while (await house.endpoints.get(name)).endpoint.pending is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def findings(replay: Replay) -> Findings:
    """A replay in which some requests fail, and the answers get another schema."""
    before = {"predictions": {"array"}, "predictions[].score": {"float"}, "predictions[].label": {"string"}}
    after = {"predictions": {"array"}, "predictions[].score": {"string"}, f"predictions[].{HOSTILE[:40]}": {"integer"}}
    return Findings(
        replay.id,
        requests=500,
        compared=496,
        exact=480,
        close=10,
        changed=6,
        largest_difference=0.031,
        errors=4,
        error=f"ValueError: negative sulphates in {HOSTILE}",
        before={path: frozenset(kinds) for path, kinds in before.items()},
        after={path: frozenset(kinds) for path, kinds in after.items()},
        baseline=Times(0.00041, 320, 4),
        candidate=Times(0.00043, 322, 4),
        memory=Memory(181 * MB, (180 * MB, 182 * MB, 182 * MB)),
        seconds=0.31,
    )


async def held_back(house: House, name: str = "held-back") -> None:
    """An endpoint whose version 2 the gate holds back, after version 1 took the place of version 3."""
    house.gateway.finds = lambda replay: Findings(replay.id, requests=40, compared=40, exact=40, seconds=0.1)
    await house.create(name, an_entity("3"))
    await settled(house, name)
    await house.update("1", name)
    await settled(house, name)
    house.gateway.finds = findings
    await house.update("2", name)
    await settled(house, name)


async def split(house: House, name: str = "split") -> None:
    """An endpoint of two versions with hostile texts in its description and tags."""
    one, two = replace(an_entity("1"), environment_vars=(("MODEL_KEY", "a secret value"),)), an_entity("2")
    config = ConfigRequest((one, two), (Route("wine-1", 90), Route("wine-2", 10)))
    tags = (("team", "risk"), (HOSTILE, HOSTILE))
    await house.endpoints.create(EndpointRequest(name, config, "admin", f"Rates wines. {HOSTILE}", tags))
    await settled(house, name)


MODEL = b"""flavors: {}
signature:
  inputs: '[{"type": "double", "name": "acidity", "required": true}, {"type": "long", "name": "year", "required": true},
    {"type": "boolean", "name": "organic", "required": true},
    {"type": "string", "name": "<b>region</b>", "required": false}]'
"""
EXAMPLE = b"""{"dataframe_split": {"columns": ["acidity", "year", "organic", "<b>region</b>"],
    "data": [[7.4, 9007199254740993, true, "</textarea><script>alert(1)</script>"]]}}"""


async def with_example(house: House, name: str = "example") -> None:
    """An endpoint whose model has a signature of simple columns and an input example, with hostile texts."""
    house.registry.add("tested", "1", files={"MLmodel": MODEL, "serving_input_example.json": EXAMPLE})
    await house.create(name, an_entity("1", model="tested"))
    await settled(house, name)


def slow(noted: FakeSlowRequests, name: str, now: float = 0.0) -> None:
    """Some slow requests of an endpoint, and errors with hostile sentences."""
    requests = []
    for number in range(12):
        seconds = 0.4 / (1 + number)
        shares = (0.08, 0.05, 0.04, 0.7, 0.03, 0.1) if number % 4 else (0.9, 0.0, 0.02, 0.05, 0.01, 0.02)
        steps = tuple(seconds * share for share in shares)
        cold = "" if number % 4 else "spawn"
        requests.append(NotedRequest(now - number, seconds, 200, "wine-1", f"id-{number:04d}", steps, 8, cold))
    errors = tuple(
        NotedRequest(now - 60 * number, 0.01, status, "wine-1", f"id-{status}", sentence=f"No such column: {HOSTILE}")
        for number, status in enumerate((500, 400, 504))
    )
    noted.noted[name] = NotedRequests(tuple(requests), errors)


async def failed(house: House, name: str = "failed") -> None:
    """An endpoint whose first version cannot be built."""
    house.builder.fault = NO_BUILD
    await house.create(name, an_entity("3"))
    await settled(house, name)
    house.builder.fault = None
    view = await house.endpoints.get(name)
    log = await house.endpoints.build_logs(name, "wine-3")
    assert view.endpoint.failed is not None
    assert log


async def updating(house: House, name: str = "updating") -> None:
    """An endpoint whose update is being built until the house ends."""
    await house.create(name, an_entity("1"))
    await settled(house, name)
    house.builder.gate.clear()
    await house.update("3", name)
