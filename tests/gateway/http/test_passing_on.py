"""What is passed on arrives as it was sent: requests at control and the registry, and their answers at the client."""

import asyncio
import gzip
from pathlib import Path

import httpx
import pytest

from tests.gateway.house import TOKEN, until
from tests.gateway.http.upstream import OK, endless, raw_house, says
from tidegate.gateway.http.callers import MAX_OPEN_BYTES
from tidegate.gateway.http.turns import MAX_ORDINARY


def lines(head: bytes) -> list[bytes]:
    """Request line and headers, without those that the gateway adds."""
    added = (b"host:", b"x-forwarded-host:", b"x-request-id:", b"x-tidegate-")
    return [line for line in head.split(b"\r\n") if line and not line.lower().startswith(added)]


@pytest.mark.parametrize(
    "target",
    [
        "/api/a%2Fb%20c%E2%82%AC",
        "/api/%zz%",
        "/api/a+b;c=d@e:f,g!$&'()*~",
        '/api/?a=1&a=2&b=%2F+%20&c=[x]{y}|"<>`^\\',
        "/api/x?next=https://h/?q=1#",
        "/api//double///slashes/./and/../dots",
        "//host/api",
    ],
)
async def test_a_target_is_sent_on_as_it_came(tmp_path: Path, target: str) -> None:
    async with raw_house(tmp_path) as place:
        client = await place.client()
        client.send(f"GET {target}")
        assert b" 200 " in await client.head()
    assert place.control.heads[0].split(b" ")[1].decode() == target.partition("#")[0]


async def test_headers_are_sent_on_as_they_came_and_none_is_made_up(tmp_path: Path) -> None:
    headers = (
        "x-twice: 1",
        "X-Twice: 2",
        "accept: a/b",
        "x-empty: ",
        "x-utf8: \xc3\xa9",
        "user-agent: me",
        "range: bytes=0-1",
    )
    async with raw_house(tmp_path) as place:
        client = await place.client()
        client.send("GET /api/x", *headers, "te: trailers", "cookie: a=b", "connection: keep-alive", "x-real-ip: 1")
        client.send("GET /api/x")
        await until(lambda: len(place.control.heads) == 2)
    sent = [header.encode("latin-1").lower().strip() for header in headers]
    assert [line.strip().lower() for line in lines(place.control.heads[0])[1:]] == sent
    assert lines(place.control.heads[1]) == [b"GET /api/x HTTP/1.1"]
    assert TOKEN.encode() not in b"".join(place.control.heads)


async def test_a_header_in_latin_1_arrives_as_utf_8(tmp_path: Path) -> None:
    async with raw_house(tmp_path) as place:
        client = await place.client()
        client.send("GET /api/x", "x-name: Andr\xe9")
        await client.head()
    assert "x-name: André".encode() in place.control.heads[0]


async def test_an_answer_comes_back_as_it_was_sent(tmp_path: Path) -> None:
    packed = gzip.compress(b"words " * 100)
    head = (
        b"HTTP/1.1 201 Made\r\ncontent-encoding: gzip\r\ncontent-type: text/plain\r\nset-cookie: a=1; Path=/\r\n"
        b"set-cookie: b=2\r\nX-Caf\xe9: \xe9\r\nserver: s\r\ncontent-length: %d\r\n\r\n" % len(packed)
    ).replace(b"X-Caf\xe9", b"X-Cafe")
    async with raw_house(tmp_path) as place:
        place.control.routes["/api/x"] = says(head + packed)
        client = await place.client()
        client.send("GET /api/x")
        came = await client.head()
        assert await client.reader.readexactly(len(packed)) == packed
        client.send("GET /api/y")
        await client.head()
    assert came.startswith(b"HTTP/1.1 201 ")
    for line in (b"content-encoding: gzip", b"set-cookie: a=1; Path=/", b"set-cookie: b=2", b"x-cafe: \xe9"):
        assert b"\r\n%b\r\n" % line in came.replace(b"X-Cafe", b"x-cafe")
    assert b"\r\nserver:" not in came
    assert b"cookie" not in place.control.heads[1]


async def test_cookies_reach_no_upstream_and_the_registry_sets_none(tmp_path: Path) -> None:
    sets = says(b"HTTP/1.1 200 OK\r\nSet-Cookie: s=1\r\ncontent-length: 2\r\n\r\nok")
    async with raw_house(tmp_path) as place:
        place.control.routes["/api/x"] = place.registry.routes["/mlflow/x"] = sets
        client = await place.client()
        heads = []
        for path in ("/api/x", "/mlflow/x", "/api/x", "/mlflow/x"):
            client.send(f"GET {path}", "Cookie: tidegate_session=secret")
            heads.append(await client.head())
            await client.reader.readexactly(2)
    assert [b"set-cookie: s=1" in head.lower() for head in heads] == [True, False, True, False]
    assert b"cookie" not in b"".join([*place.control.heads, *place.registry.heads]).lower()
    assert len(place.registry.heads) == 2


async def test_the_registrys_pages_get_a_policy_and_no_others_do(tmp_path: Path) -> None:
    async with raw_house(tmp_path) as place:
        registry, control = [await place.home.client.get(path) for path in ("/mlflow/x", "/api/x")]
    assert "frame-ancestors 'self'" in registry.headers["content-security-policy"]
    assert "content-security-policy" not in control.headers


async def test_log_ins_whose_bodies_drip_take_no_turn(tmp_path: Path) -> None:
    """Anybody may send them, without a token."""
    async with raw_house(tmp_path) as place:
        slow = [await place.client() for _ in range(MAX_ORDINARY + 1)]
        for number, client in enumerate(slow):
            accept = "accept: text/event-stream" if number % 2 else "accept: */*"
            client.send("POST /login", accept, "content-length: 3")
            client.writer.write(b"a")
        quick = await place.client()
        quick.send("POST /login", "content-length: 3")
        quick.writer.write(b"abc")
        assert b" 200 " in await asyncio.wait_for(quick.head(), 5)
        quick.send("GET /api/x")
        assert b" 200 " in await asyncio.wait_for(quick.head(), 5)
        assert len(place.control.heads) == 2
        slow[0].writer.write(b"bc")
        assert b" 200 " in await asyncio.wait_for(slow[0].head(), 5)
        large = await place.client()
        large.send("POST /login", f"content-length: {MAX_OPEN_BYTES + 1}")
        large.writer.write(b"a" * (MAX_OPEN_BYTES + 1))
        assert b" 413 " in await asyncio.wait_for(large.head(), 5)
        assert len(place.control.heads) == 3


async def test_a_redirection_is_the_clients_to_follow(tmp_path: Path) -> None:
    async with raw_house(tmp_path) as place:
        place.control.routes["/api/x"] = says(b"HTTP/1.1 307 T\r\nlocation: /api/y\r\ncontent-length: 0\r\n\r\n")
        answer = await place.home.client.get("/api/x")
    assert (answer.status_code, answer.headers["location"], len(place.control.heads)) == (307, "/api/y", 1)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\netag: e\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\netag: e\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\netag: e\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\netag: e\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: e\r\n\r\n"),
    ],
)
async def test_answers_without_a_body_leave_the_connections_as_they_should(
    tmp_path: Path, method: str, answer: bytes
) -> None:
    async with raw_house(tmp_path) as place:
        place.control.routes["/api/x"] = says(answer)
        client = await place.client()
        for _ in range(2):
            client.send(f"{method} /api/x")
            head = await client.head()
            assert head.split(b" ")[1] == answer.split(b" ")[1]
            assert (b"content-length: 1234" in head) is (b"1234" in answer)
        client.send("GET /api/y")
        await client.head()
        assert await client.reader.readexactly(2) == b"ok"
        assert place.control.open == 1


@pytest.mark.parametrize("close", [b"connection: close\r\n", b""])
async def test_an_answer_may_be_chunked_or_end_with_its_connection(tmp_path: Path, close: bytes) -> None:
    async def route(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if close:
            writer.write(b"HTTP/1.1 200 OK\r\n" + close + b"\r\nabc")
            raise ConnectionError
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2;ext=1\r\nbc\r\n0\r\n\r\n")

    async with raw_house(tmp_path) as place:
        place.control.routes["/api/x"] = route
        for _ in range(2):
            assert (await place.home.client.get("/api/x")).text == "abc"


async def test_uploads_are_streamed_and_keep_their_form(tmp_path: Path) -> None:
    came: list[bytes] = []

    async def measured(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readexactly(3))
        came.append(await reader.readexactly(3))
        writer.write(OK)

    async def chunked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(OK)

    async with raw_house(tmp_path) as place:
        place.control.routes |= {"/api/measured": measured, "/api/chunked": chunked}
        client = await place.client()
        client.send("PUT /api/measured", "content-length: 6", "content-type: a/b", "expect: 100-continue")
        assert b" 100 " in await client.head()
        client.writer.write(b"abc")
        await until(lambda: came)  # before the rest is sent
        client.writer.write(b"def")
        assert b" 200 " in await client.head()
        await client.reader.readexactly(2)
        client.send("POST /api/chunked", "transfer-encoding: chunked", body=b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        assert b" 200 " in await client.head()
    assert came[:2] == [b"abc", b"def"]
    assert b"".join(came[2].split(b"\r\n")[1::2]) == b"abc"
    assert b"content-length: 6" in place.control.heads[0].lower()
    assert b"expect" not in place.control.heads[0].lower()
    assert b"transfer-encoding: chunked" in place.control.heads[1].lower()


async def test_a_connection_that_the_upstream_has_closed_costs_no_request(tmp_path: Path) -> None:
    async with raw_house(tmp_path) as place:
        for method in ("GET", "POST"):
            assert (await place.home.client.request(method, "/api/x")).text == "ok"
            for writer in list(place.control.writers):
                writer.close()
            await until(lambda: place.control.open == 0)
            await asyncio.sleep(0.01)
            assert (await place.home.client.request(method, "/api/x")).text == "ok"


async def test_an_answer_that_breaks_off_is_no_whole_one(tmp_path: Path) -> None:
    async def breaks(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        await writer.drain()
        raise ConnectionError

    async with raw_house(tmp_path) as place:
        place.control.routes["/api/x"] = breaks
        with pytest.raises(httpx.RemoteProtocolError):
            await place.home.client.get("/api/x")


async def test_a_stream_whose_upstream_dies_ends_at_once_and_properly(tmp_path: Path) -> None:
    async with raw_house(tmp_path) as place:
        place.control.routes["/api/events"] = endless
        async with place.home.client.stream("GET", "/api/events") as answer:
            events = answer.aiter_raw()
            assert await anext(events) == b"data: 1"
            place.control.kill()
            assert [event async for event in events] == []
        assert (await place.home.client.get("/api/x")).status_code == 503
