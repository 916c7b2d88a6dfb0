"""Replicas that send anything at all, at random and the same in every run: the gateway's promises hold nevertheless.

No socket is between them: what a connection writes is read by a fuzzer, which answers frame by frame.
"""

import asyncio
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gateway.house import until
from tests.gateway.queue import hostile_frames
from tidegate import http
from tidegate.core.access.access_table import access_table
from tidegate.core.endpoint.revision import Address, ReplicaId, RevisionAddresses, RevisionId
from tidegate.core.errors import TidegateError
from tidegate.core.planes.route_table import EndpointRoute, RevisionRoute, RouteTable
from tidegate.gateway.metering.ledger import Ledger
from tidegate.gateway.metering.meter import Meter
from tidegate.gateway.queue import lane, replica_connections
from tidegate.gateway.queue.lane import Lane
from tidegate.gateway.queue.router import Router
from tidegate.gateway.replay.prediction_cost import PredictionCost
from tidegate.gateway.replay.recordings import Recordings
from tidegate.gateway.scoring import responses
from tidegate.gateway.scoring.request import ScoringRequest
from tidegate.gateway.scoring.scoring_path import Scoring
from tidegate.gateway.scoring.token_check import TokenCheck
from tidegate.settings import GateSettings, GatewaySettings
from tidegate_worker.ipc import wire

V1 = RevisionId("1" * 16)
SHORT, FULL = 20_000, 1_000_000
AT_ONCE = 40  # requests that wait or are under way
REPLICAS = 4
MOST_GROWTH_BYTES = 48 * 1024 * 1024

_HEADERS = rb"(?:[a-z-]+: [\x20-\x7e]*\r\n)*"
_OK = re.compile(rb"HTTP/1\.1 200 OK\r\n" + _HEADERS)
_NAMES = {b"content-type", b"served-model-name", b"x-request-id", b"server-timing", b"content-length", b"retry-after"}


class Transport:
    """The other end of a lane: what it has been asked and has not answered."""

    def __init__(self, to: Lane) -> None:
        self.lane = to
        self.owed: list[int] = []
        self.open = True
        self.frames = wire.Frames()

    def write(self, data: bytes) -> None:
        for kind, payload in self.frames.feed(data):
            if kind == wire.REQUESTS:
                self.owed += [request.id for request in wire.unpack_requests(payload)]

    def close(self) -> None:
        if self.open:
            self.open = False
            asyncio.get_running_loop().call_soon(self.lane.connection_lost, None)

    abort = close


class Caller:
    """A caller's connection: checks every answer that is written to it."""

    began_at = 0.0

    def __init__(self, told: "Told") -> None:
        self.began_at, self._told = time.monotonic(), told

    def reply(self, request: ScoringRequest, head: bytes, body: bytes) -> None:
        self._check(request, head)

    def reply_error(self, request: ScoringRequest, error: TidegateError, headers: http.Headers) -> None:
        head, _, body = responses.error(error, headers, keep_alive=True).partition(b"\r\n\r\n")
        json.loads(body)
        self._check(request, b"HTTP/1.1 200 OK\r\n" + head.partition(b"\r\n")[2] + b"\r\n")

    def _check(self, request: ScoringRequest, head: bytes) -> None:
        assert not request.response_complete, "answered twice"
        assert _OK.fullmatch(head), head
        assert {line.partition(b":")[0] for line in head.split(b"\r\n")[1:-1]} <= _NAMES, head
        request.response_complete = True
        self._told.open.discard(request)
        self._told.ended += 1


class Told:
    """The requests that are to be answered yet, and how many were."""

    def __init__(self) -> None:
        self.open: set[ScoringRequest] = set()
        self.ended = 0


class Agent:
    """The connection to the agent, which is not asked here."""

    def __getattr__(self, _verb: str) -> Callable[..., None]:
        return lambda *_: None

    async def stop(self) -> None: ...


class Fuzzer:
    """What one replica sends next, at random."""

    def __init__(self, random_: random.Random) -> None:
        self._random = random_
        self._hostile = list(hostile_frames.answers(0))
        self._welcomes = list(hostile_frames.WELCOMES)

    def welcome(self) -> bytes:
        if self._random.random() < 0.1:
            return hostile_frames.WELCOMES[self._random.choice(self._welcomes)]
        now = time.monotonic()
        times = {"mode": self._random.choice(("fork", "spawn")), "asked": now - 2, "forked": now - 1, "ready": now}
        welcome = hostile_frames.GOOD_WELCOME | {"start": times}
        return wire.frame(wire.WELCOME, json.dumps(welcome).encode())

    def next(self, end: Transport) -> bytes:
        draw, owed = self._random, end.owed
        choice = draw.random()
        if choice < 0.03:
            number = draw.choice(owed) if owed and draw.random() < 0.8 else 7
            return hostile_frames.answers(number)[draw.choice(self._hostile)]
        if choice < 0.04:
            return self._mutated(self._honest(end))
        if choice < 0.041:
            return draw.randbytes(draw.randrange(1, 200))
        if choice < 0.042:
            return wire.frame(wire.DRAINING)
        return self._honest(end)

    def _honest(self, end: Transport) -> bytes:
        draw, owed = self._random, end.owed
        if not owed or draw.random() < 0.1:
            terms = {"credits": draw.randrange(3), "group": draw.randrange(1, 9)}
            return wire.frame(wire.CREDITS, json.dumps(terms).encode())
        number = owed.pop(draw.randrange(len(owed)))
        if draw.random() < 0.1:
            return wire.pack_ids(wire.RETURNED, [number])
        outcome = draw.choice((*[wire.OK] * 8, wire.MODEL_ERROR, wire.BAD_REQUEST, wire.TIMED_OUT, wire.INTERNAL))
        meta = b"batch=%d\nwait=3\ndecode=2\npredict=%d\nencode=1" % (draw.randrange(1, 9), draw.randrange(9**6))
        PredictionCost.read(meta)
        return wire.pack_answers([wire.Answer(number, outcome, 0, meta, b'{"predictions":[1]}')])

    def _mutated(self, frame: bytes) -> bytes:
        """Some bytes of it are others, or missing, or there twice."""
        data = bytearray(frame)
        for _ in range(self._random.randrange(1, 4)):
            at = self._random.randrange(len(data))
            data[at : at + self._random.randrange(3)] = self._random.randbytes(self._random.randrange(3))
            data = data or bytearray(b"\0")
        return bytes(data)


class Run:
    """A gateway's scoring without sockets, and the fuzzers that it takes for its replicas."""

    def __init__(self, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.random = random.Random(seed)
        self.fuzzer = Fuzzer(self.random)
        self.ends: list[Transport] = []
        self.told, self.frames = Told(), 0
        settings = GatewaySettings()
        self.meter = Meter(0, 1, Ledger(folder / "0.bin"))
        self.router = Router(folder / "routes.json", settings)
        self.router._agents["agent"] = Agent()  # type: ignore[assignment]
        tokens = TokenCheck(folder / "access.json")
        tokens.follow(access_table({http.token_hash("token"): "admin"}, {}))
        self.scoring = Scoring(self.router, self.meter, settings, Recordings(GateSettings()), tokens)
        monkeypatch.setattr(Lane, "connect", self._connect())
        monkeypatch.setattr(replica_connections, "DISTRUST_SECONDS", 0.0)
        monkeypatch.setattr(lane.logger, "disabled", True)  # a line for each connection that is ended

    def _connect(self) -> Callable[[Lane], Any]:
        async def connect(to: Lane) -> None:
            end = Transport(to)
            to.connection_made(end)  # type: ignore[arg-type]
            self.ends.append(end)
            self._feed(end, self.fuzzer.welcome())

        return connect

    async def go(self, most: int) -> None:
        self.router.start()
        route = EndpointRoute("wine", ((V1, 100),), {"wine-1": V1})
        revision = RevisionRoute(V1, "wine", "wine-1", "agent", 0.5, True)
        self.router.follow(RouteTable("t1", {"wine": route}, {V1: revision}))
        for number in self._until(most):
            self._place(number)
            while len(self.told.open) < AT_ONCE:
                self._ask()
            for _ in range(50):
                await asyncio.sleep(0)
                self.ends = [end for end in self.ends if end.open]
                for end in self.ends:
                    self._feed(end, self.fuzzer.next(end))
        await self._end()

    def _until(self, most: int) -> Iterator[int]:
        number = 0
        while self.frames < most:
            yield (number := number + 1)

    def _place(self, number: int) -> None:
        """The agent names these; now and then others, as a replica that drains is not connected to again."""
        if number % 20 == 0:
            for end in self.ends:
                end.close()  # these have ended
        names = [ReplicaId(f"{number // 20:04d}{place:04d}") for place in range(REPLICAS)]
        pairs = tuple((name, Address("nowhere", "secret")) for name in names)
        self.router._located(RevisionAddresses(V1, True, pairs, ""))

    def _ask(self) -> None:
        headers = {b"authorization": b"Bearer token", b"content-type": b"application/json"}
        path = b"/serving-endpoints/wine/invocations"
        request = ScoringRequest(self.scoring, Caller(self.told), b"POST", path, headers)
        self.told.open.add(request)
        request.begin()
        request.take(b"[1]")
        request.more_body = False
        request.received()

    def _feed(self, end: Transport, data: bytes) -> None:
        self.frames += 1
        cut = self.random.randrange(len(data) + 1)
        for part in (data[:cut], data[cut:]) if self.random.random() < 0.1 else (data,):
            if part and end.open:
                end.lane.data_received(part)

    async def _end(self) -> None:
        """Nothing answers any more: what is open fails by its deadline, and nothing is left over."""
        queue = self.router.queue_of(V1)
        assert queue is not None
        await until(lambda: not self.told.open)
        for end in self.ends:
            end.close()
        await asyncio.sleep(0.05)
        assert queue.idle
        assert self.scoring.bytes_coming_in == 0
        assert self.meter.report("", {}).endpoints["wine"].in_flight == 0
        for name in self.meter.cold.report():
            assert name.split()[0] in ("fork", "spawn")
        await self.router.stop()


@pytest.mark.parametrize(
    "frames", [SHORT, pytest.param(FULL, marks=[pytest.mark.acceptance, pytest.mark.timeout(1800)], id="full size")]
)
async def test_whatever_replicas_send(
    tmp_path: Path, frames: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unexpected: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unexpected.append(context))
    run = Run(tmp_path, seed=13, monkeypatch=monkeypatch)
    process = psutil.Process()
    with caplog.at_level(logging.ERROR):
        await run.go(SHORT)
        before = process.memory_info().rss
        if frames > SHORT:
            run = Run(tmp_path, seed=14, monkeypatch=monkeypatch)
            began = time.monotonic()
            await run.go(frames)
            rate = run.frames / (time.monotonic() - began)
            print(f"FIGURE replica frames: {run.frames}, requests: {run.told.ended}, {rate:.0f} frames a second")
    grown = process.memory_info().rss - before
    assert not unexpected
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert run.told.ended > frames / 100
    assert grown < MOST_GROWTH_BYTES, f"{grown} bytes more"
