"""The judges of the roll-outs' benchmarks: what they must find wrong, and what not; the stream; the door."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest
from bench.rollouts import saboteurs
from bench.rollouts.order import Answer, Chapter, first_answers, wrong_answers
from bench.rollouts.proxy import Proxy
from bench.rollouts.sabotage import answered_by
from bench.rollouts.stream import FIRST_NUMBER, Stream
from bench.senders import Target

from tests.bench.echo_server import echo_server

CHAPTERS = [Chapter(0, "a"), Chapter(10, "b"), Chapter(20, "c"), Chapter(30, "a")]
IN_ORDER = [(1, 2, "a"), (11, 12, "b"), (21, 22, "c"), (31, 32, "a")]


def answers(*rows: tuple[float, float, str]) -> list[Answer]:
    return [Answer(sent, received, 200, text) for sent, received, text in rows]


def test_the_first_answers_are_those_after_each_promotion() -> None:
    assert first_answers(answers(*IN_ORDER[:3]), CHAPTERS) == [2, 12, 22, float("inf")]


@pytest.mark.parametrize(
    "row",
    [(9, 11, "a"), (9, 11.5, "b"), (11.9, 14, "a"), (12, 14, "a"), (19, 33, "b"), (40, 41, "a")],
    ids=["old before", "new at once", "old was under way", "old at that moment", "long under way", "last"],
)
def test_an_answer_in_its_time_is_right(row: tuple[float, float, str]) -> None:
    assert wrong_answers(answers(*IN_ORDER, row), CHAPTERS) == []


@pytest.mark.parametrize(
    "row",
    [(12.1, 13, "a"), (13, 19, "c"), (32.1, 33, "c"), (33, 34, "b"), (5, 6, "?")],
    ids=["old after new", "new before it is asked", "third is not first", "two turns late", "nobody's"],
)
def test_an_answer_out_of_its_time_is_wrong(row: tuple[float, float, str]) -> None:
    assert wrong_answers(answers(*IN_ORDER, row), CHAPTERS) == answers(row)


def test_what_was_overtaken_may_stay_unseen_and_ends_what_was_before() -> None:
    seen = answers((1, 2, "a"), (21, 22, "c"))
    assert wrong_answers(seen, CHAPTERS[:3]) == []
    late = answers((23, 24, "a"))
    assert wrong_answers([*seen, *late], CHAPTERS[:3]) == late


def test_a_stream_sends_at_its_rate_over_several_connections_and_notes_every_answer() -> None:
    with echo_server() as url:
        began = time.monotonic()
        with Stream(Target(url, (b"fine",)), 200) as stream:
            time.sleep(0.5)
            first = stream.latest()
        assert (first.status, first.text) == (200, "ok")
    seconds = max(a.sent for a in stream.answers) - min(a.sent for a in stream.answers)
    assert len(stream.answers) == pytest.approx(seconds * 200, rel=0.2, abs=5)
    assert all(began < answer.sent < answer.received for answer in stream.answers)
    assert stream.lost == {}


def test_a_stream_counts_what_was_lost_and_numbers_what_can_be_numbered() -> None:
    with echo_server() as url, Stream(Target(url, (b"refuse",)), 100) as stream:
        stream.first(lambda answer: answer.status == 503, 0.0, 10)
    assert stream.lost == {"503: ok": len(stream.answers)}
    numbers = sorted(answer.number for answer in stream.answers)
    assert numbers[0] == FIRST_NUMBER
    assert len(numbers) == len(set(numbers))


def test_a_stream_says_when_an_answer_does_not_come() -> None:
    with echo_server() as url, Stream(Target(url, (b"fine",)), 50) as stream, pytest.raises(TimeoutError):
        stream.first(lambda answer: answer.text == "never", 0.0, 0.2)


def test_a_door_can_be_slow_and_shut_and_open_again() -> None:
    with echo_server() as url, Proxy(httpx.URL(url).port or 0) as door:
        through = f"http://127.0.0.1:{door.port}/"
        with httpx.Client(timeout=10) as client:
            assert client.post(through, content=b"fine").text == "ok"
            door.delay = 0.3
            began = time.monotonic()
            client.post(through, content=b"fine")
            assert time.monotonic() - began >= 0.3
            door.shut()
            with pytest.raises(httpx.TransportError):
                client.post(through, content=b"fine")
            door.open()
            door.delay = 0.0
            assert client.post(through, content=b"fine").status_code == 200


def test_a_connection_that_the_server_closes_is_closed_for_the_client() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"bye")
        writer.close()

    async def ask() -> bytes:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            with Proxy(server.sockets[0].getsockname()[1]) as door:
                reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
                writer.write(b"x")
                async with asyncio.timeout(5):
                    told = await reader.read()
                writer.close()
                await asyncio.sleep(0)
                return told

    assert asyncio.run(ask()) == b"bye"


def test_a_testimony_tells_answers_from_replays() -> None:
    given = [Answer(1.0, 2.0, 200, "", 7), Answer(1.0, 2.0, 200, "", 8), Answer(1.0, 2.0, 200, "", 9)]
    assert answered_by("1.5 7\n5.0 8\n0.5 9\n", given) == given[:1]


def test_every_saboteur_is_looked_for_by_what_it_does(tmp_path: Path) -> None:
    assert len(saboteurs.SABOTEURS) == 12
    assert len({saboteurs.witness(tmp_path, does) for does in saboteurs.SABOTEURS}) == 12
    assert json.loads(saboteurs.expected(FIRST_NUMBER)) == {"predictions": [{"score": FIRST_NUMBER + 17.0, "odd": 1}]}
