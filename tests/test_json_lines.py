"""JSON lines between two processes: what comes is a message or an error, and a peer that does not read is cut off."""

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from tests.architecture.test_source import SOURCES, name_of
from tidegate.json_lines import JsonLines, Unreadable, connect, listen

LIMIT = 1024
NUMBERS: "msgspec.json.Decoder[int]" = msgspec.json.Decoder(int)


class Told(msgspec.Struct, frozen=True):
    """A message with texts of somebody else's."""

    texts: dict[str, list[str | int]]


async def read_all(lines: JsonLines) -> list[int | str]:
    """The messages that came, and the error at the end, if any."""
    found: list[int | str] = []
    try:
        async for number in lines.messages(NUMBERS):
            found.append(number)  # noqa: PERF401 - kept when it raises
    except (Unreadable, OSError) as error:
        found.append(type(error).__name__)
    return found


@contextlib.asynccontextmanager
async def served(
    path: Path, serve: Callable[[JsonLines], Awaitable[object]], most: int | None = None
) -> AsyncIterator[JsonLines]:
    """A client of a server that runs `serve`; both ends are closed afterwards."""
    tasks: list[asyncio.Task[None]] = []

    async def accepted(lines: JsonLines) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await serve(lines)
        finally:
            await close(lines)

    server = await listen(path, accepted, LIMIT, most)
    client = await connect(path, LIMIT)
    try:
        yield client
    finally:
        await close(client)
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        server.close()
        await server.wait_closed()


async def close(lines: JsonLines) -> None:
    """End a connection and wait for that."""
    lines.abort()
    with contextlib.suppress(OSError):
        await lines.wait_closed()


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b"1\n2\n", [1, 2]),
        (b"1\n2", [1]),  # cut off, though it reads as a number
        (b"", []),
        (b"1\n\n", [1, "Unreadable"]),
        (b"1\nx\n2\n", [1, "Unreadable"]),
        (b"1\n\xff\n", [1, "Unreadable"]),
        (b'"text"\n', ["Unreadable"]),
        (b"[" * 1000 + b"\n", ["Unreadable"]),
        (b"1\n" + b" " * LIMIT + b"2", [1, "Unreadable"]),
        (b"1\n" + b" " * LIMIT + b"2\n", [1, "Unreadable"]),
        (b"1\n" + b" " * (LIMIT - 1) + b"2\n", [1, 2]),
    ],
)
async def test_a_line_is_a_message_or_an_error(tmp_path: Path, sent: bytes, found: list[int | str]) -> None:
    done: asyncio.Future[list[int | str]] = asyncio.get_running_loop().create_future()

    async def serve(lines: JsonLines) -> None:
        done.set_result(await read_all(lines))

    async with served(tmp_path / "s", serve) as client:
        client._writer.write(sent)
        client._writer.write_eof()
        assert await asyncio.wait_for(done, 20) == found


async def test_messages_go_both_ways(tmp_path: Path) -> None:
    async def double(lines: JsonLines) -> None:
        async for number in lines.messages(NUMBERS):
            assert lines.send(2 * number)

    async with served(tmp_path / "s", double) as client:
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
        for number in (1, 20):
            client.send(number)
            await client.drain()
            assert await client.line() == str(2 * number).encode()
        client.send(b"4")  # encoded already
        assert await client.line() == b"8"


async def test_a_text_that_is_none_keeps_no_message_back(tmp_path: Path) -> None:
    async def echo(lines: JsonLines) -> None:
        async for line in lines.lines():
            assert lines.send(line)

    async with served(tmp_path / "s", echo) as client:
        client.send(Told({"\ud800k": ["é\udfff\n", 2**40]}))
        line = await client.line()
        assert line is not None
        assert msgspec.json.decode(line, type=Told) == Told({"?k": ["é?\n", 2**40]})


async def test_a_peer_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    sent: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def flood(lines: JsonLines) -> None:
        count = 0
        while lines.send("x" * 1000):
            count += 1
        assert lines.send("after the end")  # is written nowhere
        sent.set_result(count)

    async with served(tmp_path / "s", flood, most=10_000) as client:
        assert 10 <= await asyncio.wait_for(sent, 20) < 10_000
        lines = []
        with contextlib.suppress(OSError):
            async for line in client.lines():
                lines.append(line)  # noqa: PERF401 - kept when it raises
        assert set(lines) <= {msgspec.json.encode("x" * 1000)}


async def test_the_socket_of_a_dead_predecessor_is_replaced_and_nobody_there_is_an_error(tmp_path: Path) -> None:
    async def end(lines: JsonLines) -> None:
        lines.close()

    with pytest.raises(OSError, match="No such file"):
        await connect(tmp_path / "s", LIMIT)
    (tmp_path / "s").touch()
    async with served(tmp_path / "s", end) as client:
        assert await client.line() is None


def test_one_file_makes_such_connections() -> None:
    """The other streams carry frames (`tidegate_worker.ipc.wire`), no lines."""
    calls = ("unix_connection(", "start_unix_server(")
    makers = {name_of(file) for file in SOURCES if any(call in file.read_text() for call in calls)}
    assert makers == {
        "tidegate/json_lines.py",
        "tidegate/engines/replicas/greeting.py",
        "tidegate/gateway/queue/lane.py",
    }
