"""What a replica sends is not trusted: nonsense ends its connection with one log line, and hurts no request."""

import asyncio
import logging
from pathlib import Path

import pytest

from tests.fakes.replica import FakeReplica
from tests.gateway.house import V1, House, house, until
from tests.gateway.queue import hostile_frames
from tidegate.gateway.queue import replica_connections, replica_frames
from tidegate.gateway.queue.start_times import ColdStart
from tidegate_worker.ipc import wire


@pytest.fixture(autouse=True)
def short_distrust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_connections, "DISTRUST_SECONDS", 0.05)


class Hostile(FakeReplica):
    """Behaves, but for one frame: its first WELCOME, or what it sends in place of its first answer."""

    welcome: bytes | None = None
    kind = ""

    def _received(self, kind: int, payload: memoryview, writer: asyncio.StreamWriter) -> None:
        if kind == wire.HELLO and self.welcome is not None:
            first, self.welcome = self.welcome, None
            writer.write(first)
        elif kind == wire.REQUESTS and self.kind:
            (first_request, *_), name = wire.unpack_requests(payload), self.kind
            self.kind = ""
            writer.write(hostile_frames.answers(first_request.id)[name])
        else:
            super()._received(kind, payload, writer)


async def hostile(h: House) -> Hostile:
    replica = Hostile(h.data.run, "aaaa0001", credit=2, group=4)
    await replica.start()
    h.replicas.append(replica)
    return replica


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("name", hostile_frames.WELCOMES)
def test_a_welcome_that_does_not_fit_is_refused(name: str) -> None:
    frames = wire.Frames()
    for kind, payload in frames.feed(hostile_frames.WELCOMES[name]):
        if kind == wire.WELCOME:
            with pytest.raises(wire.WireError):
                replica_frames.welcome(payload)


async def test_what_does_not_fit_ends_the_connection_with_one_line_and_the_next_one_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path) as h:
        replica = await hostile(h)
        h.agent.place(V1, replica)
        await h.score()
        for told, name in enumerate(hostile_frames.answers(0), 1):
            replica.kind = name
            answer = await h.score()
            await until(lambda told=told: len(lines(caplog)) >= told)
            assert answer.status_code == 200, name
            assert "set-cookie" not in answer.headers, name
            assert "stolen" not in str(answer.headers), name
            assert len(lines(caplog)) == told, name
        assert set(lines(caplog)) == {"a replica does not speak the protocol; its connection is ended, and made again"}


@pytest.mark.parametrize("name", ["mode with a header", "not the first frame", "long", "deep JSON"])
async def test_a_replica_with_a_hostile_welcome_gets_no_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    async with house(tmp_path) as h:
        replica = await hostile(h)
        replica.welcome = hostile_frames.WELCOMES[name]
        h.agent.place(V1, replica)
        answer = await h.score()
        assert answer.status_code == 200
        assert "stolen" not in str(answer.headers)
        assert len(lines(caplog)) == 1


async def test_a_replica_that_drains_twice_is_left_and_its_request_is_answered_elsewhere(tmp_path: Path) -> None:
    async def never(_request: wire.Request) -> None:
        await asyncio.Event().wait()

    async with house(tmp_path) as h:
        draining = await h.replica("aaaa0001", predict=never)
        h.agent.place(V1, draining)
        asking = asyncio.create_task(h.score())
        await until(lambda: draining.seen)
        draining.send(wire.frame(wire.DRAINING) * 2)
        h.agent.place(V1, draining, await h.replica("aaaa0002"))
        assert (await asking).status_code == 200


async def test_a_measurement_beyond_any_memory_is_no_measurement() -> None:
    for payload in (wire.pack_ids(wire.MEASURED, [1 << 60]), wire.pack_ids(wire.MEASURED, [1, 2])):
        ((_, whole),) = wire.Frames().feed(payload)
        with pytest.raises(wire.WireError):
            replica_frames.resident_bytes(whole)


def test_a_start_that_is_yet_to_come_has_no_negative_phases() -> None:
    phases = ColdStart("fork", 1e300, 1e300, 1e300).phases(10.0, 12.0)
    assert all(seconds >= 0 for seconds in phases)
    assert sum(phases[:-1]) == phases[-1] == 2.0
