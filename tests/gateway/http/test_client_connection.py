"""HTTP as clients really speak it, and as attackers do: bytes on a socket, and what comes back."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.fakes.replica import FakeReplica
from tests.gateway.house import TOKEN, V1, House, house, until
from tidegate.gateway import gateway_server
from tidegate.gateway.http import asgi, client_connection, limited_connection
from tidegate.gateway.http.asgi import Handler
from tidegate_worker.ipc import wire

START = b"POST /serving-endpoints/wine/invocations HTTP/1.1\r\nhost: x\r\n"
HEAD = START + b"authorization: Bearer " + TOKEN.encode() + b"\r\n"
SCORE = HEAD + b"content-length: 3\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
BELOW = "https://models.example.org/ml/tidegate"


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> list[Handler]:
    """The handlers that gateways make from now on; connections are checked often."""
    made: list[Handler] = []

    class Seen(Handler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(gateway_server, "Handler", Seen)
    monkeypatch.setattr(asgi, "CHECK_SECONDS", 0.02)
    return made


class Talk:
    """A connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.ended = False

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body. Interim ones are skipped."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        lines = head.decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        if status == 100:
            return await self.answer()
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return status, headers, await self.reader.readexactly(int(headers["content-length"]))

    async def end(self) -> bytes:
        """What still comes until the gateway closes, cleanly."""
        return await asyncio.wait_for(self.reader.read(), 10)


async def talk(h: House, *pieces: bytes, limit: int = 2**24) -> Talk:
    """Connect, and send these in packets of their own. What comes is read ahead up to a limit."""
    reader, writer = await asyncio.open_connection("127.0.0.1", h.listener.getsockname()[1], limit=limit)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.02 if len(pieces) > 1 else 0)
    return Talk(reader, writer)


async def assert_nothing_is_left(h: House, seen: Handler) -> None:
    """No connection, no byte of a body, nothing in flight; and the ledger balances."""
    await h.client.aclose()
    await until(lambda: not seen.connections)
    assert seen.scoring.bytes_coming_in == 0
    report = seen.meter.report("", seen.scoring.router.loads())
    assert all(load.in_flight == load.queued == 0 for load in report.revisions.values())
    for ledger in report.endpoints.values():
        assert ledger.in_flight == 0
        ended = ledger.answered + ledger.rejected + ledger.timed_out + ledger.client_gone + ledger.lost
        assert ledger.accepted == ended
        assert sum(ledger.statuses.values()) == ended - ledger.client_gone - ledger.lost


@pytest.mark.parametrize(
    "pieces",
    [
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],  # TLS
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        [b"nonsense\r\n\r\n"],
        [b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n"],
        [b"GET /\xff\xfe HTTP/1.1\r\n\r\n"],
        [HEAD + b"content-length: -3\r\n\r\n[1]"],
        [HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\n[1]"],
        [HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n"],
        [HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n"],
        [HEAD + b"transfer-encoding: chunked\r\n\r\n", b"3\r\n[1]\r\n", b"zz\r\n"],
        [b"POST /api/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + HEAD.partition(b"\r\n")[2] + b"\r\n", b"zz\r\n"],
        [HEAD + b"a\rb: c\r\n\r\n"],
    ],
)
async def test_what_is_not_http_gets_400_and_a_clean_end(
    tmp_path: Path, handlers: list[Handler], pieces: list[bytes]
) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        client = await talk(h, *pieces)
        status, headers, body = await client.answer()
        assert status == 400
        assert headers["connection"] == "close"
        assert headers["x-request-id"]
        assert set(json.loads(body)) == {"error_code", "message"}
        assert await client.end() == b""
        client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"x: " + b"a" * 5000 + b"\r\n\r\n"],
        [HEAD + b"x: " + b"a" * 1000, *[b"a" * 1000] * 6],
        [HEAD + b"".join(b"x%d: aaaaaaaaaaaaaaaa\r\n" % n for n in range(400)) + b"\r\n"],
        [b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n"],
        [HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\nx: " + b"a" * 5000 + b"\r\n\r\n"],
    ],
)
async def test_headers_over_the_cap_get_431(tmp_path: Path, handlers: list[Handler], pieces: list[bytes]) -> None:
    async with house(tmp_path, max_header_bytes=4096) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        client = await talk(h, *pieces)
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (431, "close")
        assert await client.end() == b""
        fits = await talk(h, HEAD + b"x: " + b"a" * 3500 + b"\r\ncontent-length: 3\r\n\r\n[1]")
        assert (await fits.answer())[0] == 200
        client.writer.close()
        fits.writer.close()
        await assert_nothing_is_left(h, handlers[0])


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b""], None),
        ([HEAD], 408),
        ([HEAD + b"content-length: 300\r\n\r\n[1"], 408),  # a length that lies
        ([HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\n[1]\r\n"], 408),
        ([b"POST /api/x HTTP/1.1\r\ncontent-length: 300\r\n" + HEAD.partition(b"\r\n")[2] + b"\r\n[1"], 408),
    ],
)
async def test_clients_that_stall_are_let_go_of(
    tmp_path: Path, handlers: list[Handler], pieces: list[bytes], status: int | None
) -> None:
    async with house(tmp_path, header_timeout_seconds=0.2, body_timeout_seconds=0.2) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        client = await talk(h, *pieces)
        if status is not None:
            assert (await client.answer())[0] == status
        assert await client.end() == b""
        client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


async def drip(client: Talk, byte: bytes) -> None:
    """Send a byte now and then, for as long as the other side listens."""
    while not client.reader.at_eof():
        client.writer.write(byte)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("start", [HEAD + b"x: ", HEAD + b"content-length: 100000\r\n\r\n"])
async def test_a_drip_of_bytes_does_not_hold_a_connection(
    tmp_path: Path, handlers: list[Handler], start: bytes
) -> None:
    async with house(tmp_path, header_timeout_seconds=0.3, body_timeout_seconds=0.3) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        client = await talk(h, start)
        dripping = asyncio.create_task(drip(client, b"a"))
        assert (await client.answer())[0] == 408
        assert await client.end() == b""
        await dripping
        client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


async def test_idle_connections_end_after_a_while(tmp_path: Path, handlers: list[Handler]) -> None:
    async with house(tmp_path, keep_alive_seconds=0.2) as h:
        client = await talk(h, HEALTH)
        assert (await client.answer())[0] == 200
        assert await client.end() == b""
        client.writer.close()


async def test_a_client_that_sends_all_before_it_reads_gets_its_413(tmp_path: Path, handlers: list[Handler]) -> None:
    async with house(tmp_path, max_body_bytes=100_000) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        size = 8_000_000
        for head in (b"content-length: %d\r\n\r\n" % size, b"transfer-encoding: chunked\r\n\r\n%x\r\n" % size):
            client = await talk(h, HEAD + head)
            for _ in range(size // 100_000):
                client.writer.write(b"1" * 100_000)
            await client.writer.drain()
            status, headers, _ = await client.answer()
            assert (status, headers["connection"]) == (413, "close")
            assert await client.end() == b""
            client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


async def test_after_a_refusal_only_so_much_is_read(
    tmp_path: Path, handlers: list[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_connection, "LINGER_BYTES", 100_000)
    async with house(tmp_path, max_body_bytes=1000) as h:
        client = await talk(h, HEAD + b"content-length: 99999999\r\n\r\n")
        assert (await client.answer())[0] == 413
        with pytest.raises(ConnectionError):
            while True:
                client.writer.write(b"1" * 100_000)
                await client.writer.drain()
                await asyncio.sleep(0)
        client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


async def test_refusals_whose_body_is_there_keep_the_connection(tmp_path: Path, handlers: list[Handler]) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        client = await talk(h, START + b"content-length: 3\r\n\r\n[1]" + SCORE + b"[2]")
        status, headers, _ = await client.answer()
        assert status == 401
        assert "connection" not in headers
        assert (await client.answer())[2] == b'{"predictions":[2]}'
        client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


async def test_requests_that_are_sent_ahead_are_answered_in_order(tmp_path: Path, handlers: list[Handler]) -> None:
    async def later(request: wire.Request) -> wire.Answer:
        await asyncio.sleep(0.05 if request.body == b"[1]" else 0)
        return wire.Answer(request.id, wire.OK, 0, b"", request.body)

    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001", predict=later))
        start = SCORE + b"[1]" + SCORE + b"[2]" + HEALTH + HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n[3\r\n"
        client = await talk(h, start, b"1\r\n]\r\n0\r\n\r\n" + SCORE + b"[4]nonsense\r\n\r\n")
        answers = [await client.answer() for _ in range(6)]
        assert [body for _, _, body in answers[:5]] == [b"[1]", b"[2]", b'{"status":"ok"}', b"[3]", b"[4]"]
        assert answers[5][0] == 400
        assert await client.end() == b""
        client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


async def test_not_too_many_are_sent_ahead(tmp_path: Path, handlers: list[Handler]) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        client = await talk(h, (SCORE + b"[1]") * 200)
        statuses = [(await client.answer())[0] for _ in range(client_connection.MAX_PIPELINED + 2)]
        assert statuses == [*[200] * (client_connection.MAX_PIPELINED + 1), 429]
        assert await client.end() == b""
        client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n", b"[1]"],
        [HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n[\r\n2;x=y\r\n1]\r\n0\r\nauthorization: x\r\n\r\n"],
        [HEAD + b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\n[1]"],
        [HEAD + b"connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 3\r\n\r\n", b"[", b"1]"],
        [SCORE.replace(b"POST /", b"POST http://x/") + b"[1]"],
        [SCORE.replace(b"wine", b"%77ine").replace(b"invocations", b"invocations?a=b") + b"[1]"],
        [bytes([byte]) for byte in SCORE + b"[1]"],
        [b"\r\n\r\n" + SCORE + b"[1]"],
    ],
)
async def test_unusual_requests_get_the_usual_answer(
    tmp_path: Path, handlers: list[Handler], pieces: list[bytes]
) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        client = await talk(h, *pieces)
        status, _, body = await client.answer()
        assert (status, body) == (200, b'{"predictions":[1]}')
        client.writer.write(SCORE + b"[2]")  # the connection goes on
        assert (await client.answer())[2] == b'{"predictions":[2]}'
        client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1\r\nconnection: close"])
async def test_connections_end_where_the_client_wants_it(
    tmp_path: Path, handlers: list[Handler], version: bytes
) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        client = await talk(h, SCORE.replace(b"HTTP/1.1", version) + b"[1]")
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.end() == b""
        client.writer.close()


async def test_head_has_no_body(tmp_path: Path, handlers: list[Handler]) -> None:
    async with house(tmp_path) as h:
        client = await talk(h, HEAD.replace(b"POST", b"HEAD") + b"\r\n" + HEALTH)
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 405")
        assert (await client.answer())[2] == b'{"status":"ok"}'
        client.writer.close()


async def held(h: House) -> FakeReplica:
    """A replica that keeps what it gets until `[0]` comes."""
    free = asyncio.Event()

    async def hold(request: wire.Request) -> wire.Answer:
        if request.body == b"[0]":
            free.set()
        await free.wait()
        return wire.Answer(request.id, wire.OK, 0, b"", request.body)

    replica = await h.replica("aaaa0001", predict=hold, credit=2)
    h.agent.place(V1, replica)
    return replica


async def test_a_client_that_goes_leaves_the_queue_at_once(tmp_path: Path, handlers: list[Handler]) -> None:
    async with house(tmp_path) as h:
        replica = await held(h)
        first = asyncio.create_task(h.score(b"[9]"))
        await until(lambda: replica.seen)
        at_the_replica = await talk(h, SCORE + b"[8]")
        await until(lambda: len(replica.seen) == 2)
        going = [await talk(h, SCORE + b"[7]") for _ in range(20)]
        staying = asyncio.create_task(h.score(b"[0]"))
        router = handlers[0].scoring.router
        await until(lambda: router.loads()[V1].queued == 21)
        for client in going:
            client.writer.close()
        await until(lambda: router.loads()[V1].queued == 1)
        at_the_replica.writer.write_eof()  # half-closed counts as gone: it cannot be told from it
        assert await at_the_replica.end() == b""
        await until(lambda: replica.cancelled)
        replica.send(wire.pack_ids(wire.RETURNED, replica.cancelled))
        assert (await first).json() == [9]
        assert (await staying).json() == [0]
        ledger = handlers[0].meter.report("", {}).endpoints["wine"]
        assert (ledger.accepted, ledger.answered, ledger.client_gone) == (23, 2, 21)
        at_the_replica.writer.close()
        await assert_nothing_is_left(h, handlers[0])


async def test_a_client_that_goes_in_the_middle_of_its_body(tmp_path: Path, handlers: list[Handler]) -> None:
    async with house(tmp_path) as h:
        client = await talk(h, HEAD + b"content-length: 300000\r\n\r\n" + b"1" * 100_000)
        await until(lambda: handlers[0].scoring.bytes_coming_in == 100_000)
        client.writer.close()
        await until(lambda: handlers[0].meter.report("", {}).endpoints["wine"].client_gone == 1)
        await assert_nothing_is_left(h, handlers[0])


async def test_bodies_that_come_in_at_once_are_bounded(tmp_path: Path, handlers: list[Handler]) -> None:
    async with house(tmp_path, max_queued_bytes=250_000) as h:
        clients = [await talk(h, HEAD + b"content-length: 150000\r\n\r\n" + b"1" * 100_000) for _ in range(3)]
        statuses = [(await client.answer())[0] for client in clients[2:]]
        assert statuses == [429]
        for client in clients:
            client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


async def test_a_client_that_reads_nothing_is_let_go_of(
    tmp_path: Path, handlers: list[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_connection, "UNREAD_SECONDS", 0.2)

    async def much(request: wire.Request) -> wire.Answer:
        return wire.Answer(request.id, wire.OK, 0, b"", b"1" * 10_000_000)

    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001", predict=much)
        h.agent.place(V1, replica)
        client = await talk(h, SCORE + b"[1]" + SCORE + b"[2]" + SCORE + b"[3]", limit=1000)
        await until(lambda: replica.seen)
        await h.client.aclose()
        await until(lambda: not handlers[0].connections, 20)
        assert len(replica.seen) == 1  # the second is not begun before the first is read
        client.writer.transport.abort()
        await assert_nothing_is_left(h, handlers[0])


async def test_a_large_answer_to_a_slow_reader_is_whole(tmp_path: Path, handlers: list[Handler]) -> None:
    async def much(request: wire.Request) -> wire.Answer:
        return wire.Answer(request.id, wire.OK, 0, b"", request.body * 5_000_000)

    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001", predict=much))
        client = await talk(h, SCORE + b"abc" + SCORE + b"def")
        await asyncio.sleep(0.2)
        assert (await client.answer())[2] == b"abc" * 5_000_000
        assert (await client.answer())[2] == b"def" * 5_000_000
        client.writer.close()
        await assert_nothing_is_left(h, handlers[0])


async def test_server_timing_has_every_step(tmp_path: Path, handlers: list[Handler]) -> None:
    async def timed(request: wire.Request) -> wire.Answer:
        return wire.Answer(request.id, wire.OK, 0, b"batch=8\nwait=10\ndecode=20\npredict=1500\nencode=40", b"[]")

    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001", predict=timed))
        timing = (await h.score()).headers["server-timing"]
        assert re.fullmatch(
            r'queue;dur=\d+\.\d{3}, batch;desc="8", wait;dur=0\.010, decode;dur=0\.020, predict;dur=1\.500, '
            r"encode;dur=0\.040, total;dur=\d+\.\d{3}",
            timing,
        )


# --- below a path


@pytest.mark.parametrize("prefix", ["/ml/tidegate", "", "http://x/ml/tidegate", "http://x"])
async def test_paths_are_read_with_and_without_the_prefix(tmp_path: Path, prefix: str) -> None:
    """Some proxies remove it, others do not."""
    async with house(tmp_path, BELOW) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        start = f" {prefix}".encode()
        score = SCORE.replace(b" ", start, 1) + b"[1]"
        other = b"GET" + start + b"/api/2.0/x%2Fy?a=1&b=%20 HTTP/1.1\r\n" + score.partition(b"\r\n")[2]
        one = await talk(h, score + other + HEALTH.replace(b" ", start, 1))
        assert (await one.answer())[::2] == (200, b'{"predictions":[1]}')
        status, _, body = await one.answer()
        said = json.loads(body)
        assert (status, said["path"], said["query"], said["bytes"]) == (200, "/api/2.0/x%2Fy", "a=1&b=%20", 3)
        assert (await one.answer())[0] == 200
        one.writer.close()


async def test_only_the_whole_prefix_is_removed_and_once(tmp_path: Path) -> None:
    async with house(tmp_path, BELOW) as h:
        for asked, passed_on in (
            ("/ml/tidegate", "/"),
            ("/ml/tidegate/", "/"),
            ("/ml/tidegate?a", "/"),
            ("/ml/tidegates/x", "/ml/tidegates/x"),
            ("/ml/tidegate/ml/tidegate/x", "/ml/tidegate/x"),
            ("/ml", "/ml"),
        ):
            assert (await h.client.get(asked)).json()["path"] == passed_on
        moved = await h.client.get("/mlflow")
        assert (moved.status_code, moved.headers["location"]) == (308, "/ml/tidegate/mlflow/")
