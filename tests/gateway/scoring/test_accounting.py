"""What is noted of slow requests and of errors, asked for as control does."""

import asyncio
from pathlib import Path

import pytest

from tests.gateway.house import V1, House, house
from tidegate.control.publish.slow_requests import SlowRequests
from tidegate.core.planes.noted_requests import NotedRequests
from tidegate_worker.ipc import wire

META = b"batch=4\nwait=1000\ndecode=200\npredict=30000\nencode=300"


async def noted(h: House, endpoint: str = "wine") -> NotedRequests:
    return await SlowRequests([h.data.note_socket(0)]).of(endpoint)


async def by_body(request: wire.Request) -> wire.Answer:
    """A prediction after a moment, or an error."""
    if request.body == b"bad":
        return wire.Answer(request.id, wire.BAD_REQUEST, 0, META, b"The body is bad.")
    await asyncio.sleep(0.05)
    return wire.Answer(request.id, wire.OK, 0, META, b"[1]")


async def test_a_slow_request_has_its_steps(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001", predict=by_body))
        answer = await h.score(headers={"x-request-id": "slow-one"})
        assert answer.status_code == 200
        [request] = (await noted(h)).slowest
        assert (request.request_id, request.status, request.entity, request.batch) == ("slow-one", 200, "wine-1", 4)
        assert request.steps[1:5] == pytest.approx((0.001, 0.0002, 0.03, 0.0003))
        assert sum(request.steps) == pytest.approx(request.seconds)
        assert request.seconds >= 0.05
        assert (request.cold, request.sentence) == ("", "")
        assert await noted(h, "beer") == NotedRequests()


async def test_errors_say_what_they_said_and_no_body_is_kept(tmp_path: Path) -> None:
    async with house(tmp_path, max_body_bytes=1000) as h:
        h.agent.place(V1, await h.replica("aaaa0001", predict=by_body))
        assert (await h.score(b"bad")).status_code == 400
        assert (await h.score(b"secret" * 1000)).status_code == 413
        refused, bad = (await noted(h)).errors
        assert (bad.status, bad.entity, bad.sentence) == (400, "wine-1", "The body is bad.")
        assert (refused.status, refused.entity, refused.steps) == (413, "", ())
        assert "secret" not in refused.sentence
        assert 0 < len(refused.sentence) <= 300
