"""What a candidate answers beside what was answered before: what is counted, and what no candidate is blamed for."""

import asyncio
import json
import time

import msgspec
import pytest

from tests.gateway.house import V1, V2
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.rollout.gate import schema_changes
from tidegate.core.rollout.replay import Findings, Memory, Replay, Times
from tidegate.gateway.replay import answer_book
from tidegate.gateway.replay.answer_book import AnswerBook
from tidegate.gateway.replay.questions import Ask
from tidegate.gateway.replay.recordings import Recording
from tidegate_worker.ipc import wire

LONG = 3600.0
V3 = RevisionId("3" * 16)


def predictions(value: object) -> bytes:
    """An answer's body."""
    return json.dumps({"predictions": value}).encode()


def book_of(*pairs: tuple[bytes, bytes]) -> AnswerBook:
    """A book with these answers of the baseline and of the candidate."""
    book = AnswerBook(Replay("r", "wine", V2, V1, 0.5))
    for before, after in pairs:
        recording = Recording(V1, b"", b"[1]", b"", before, 0.001)
        book.answered(recording, wire.Answer(1, wire.OK, 0, b"", after))
    return book


async def compared(*pairs: tuple[bytes, bytes], seconds: float = LONG) -> Findings:
    """What is found when there is so much time."""
    book = book_of(*pairs)
    await book.settle(time.monotonic() + seconds)
    return book.findings(Times(), Times(), Memory(), 0.0)


def counts(found: Findings) -> tuple[int, int, int, int]:
    return found.compared, found.exact, found.close, found.changed


async def test_what_is_the_same_is_counted_however_often_and_what_is_not_is_told() -> None:
    same, other = predictions([1.5]), predictions(["x"])
    assert counts(await compared(*[(same, same)] * 3, (same, predictions([1.500001])))) == (4, 3, 1, 0)
    found = await compared((same, same), (same, other))
    assert schema_changes(found) == ["predictions[] is float or string instead of float"]


async def test_an_answer_that_only_some_can_read_is_compared() -> None:
    odd = rb'{"predictions":["\ud800"]}'  # as json.dumps writes it, and msgspec does not read it
    assert counts(await compared((odd, odd), (odd, predictions(["a"])))) == (2, 1, 0, 1)


async def test_a_key_that_is_no_text_is_told_as_text() -> None:
    """Findings travel with the gateway's report: one that could not be sent would keep all reports back."""
    found = await compared((predictions([{"k": 1.5}]), rb'{"predictions":[{"\ud800k":1.5}]}'))
    assert schema_changes(found) == ["predictions[].?k is new (float)", "predictions[].k is gone"]
    assert msgspec.json.decode(msgspec.json.encode(found), type=Findings) == found


@pytest.mark.parametrize("before", [b"no JSON", b"\xff", b"", b"[" * 100_000])
async def test_what_cannot_be_read_of_the_baselines_holds_nobody_back(before: bytes) -> None:
    assert counts(await compared((before, b"[1]"), (b"[1]", b"[1]"))) == (1, 1, 0, 0)


async def test_what_cannot_be_read_of_the_candidates_has_changed() -> None:
    found = await compared((b"[1]", b"no JSON"))
    assert counts(found) == (1, 0, 0, 1)
    assert schema_changes(found) == ["[] is gone", "the answer is gone"]


async def test_answers_that_are_nested_deep_are_compared() -> None:
    one, other = (b'{"predictions":' + b"[" * 900 + value + b"]" * 900 + b"}" for value in (b"1", b"2"))
    assert counts(await compared((one, one), (one, other))) == (2, 1, 0, 1)


async def test_a_length_counts_in_lists_of_numbers_and_else_where_it_is_no_chance() -> None:
    def pairs(first: object, second: object, different: int) -> list[tuple[bytes, bytes]]:
        extra = [predictions([[str(number)] * 3]) for number in range(different - 1)]
        return [(predictions([first]), predictions([second])), *((one, one) for one in extra)]

    numbers = await compared(*pairs([0.1, 0.2, 0.3], [0.1, 0.2], 1))
    assert schema_changes(numbers) == ["predictions[] is array[2] instead of array[3]"]
    few = await compared(*pairs(["a", "b", "c"], ["a", "b"], 4))
    assert schema_changes(few) == []
    enough = await compared(*pairs(["a", "b", "c"], ["a", "b"], 5))
    assert schema_changes(enough) == ["predictions[] is array instead of array[3]"]


async def test_keys_that_are_data_are_told_as_one() -> None:
    def top(*items: str) -> bytes:
        return predictions([dict.fromkeys(items, 0.5)])

    pairs = [(top(f"i{number}", f"i{number + 1}"), top(f"i{number}", f"n{number}")) for number in range(500)]
    found = await compared(*pairs)
    assert schema_changes(found) == []
    assert found.before == found.after
    assert len(found.before) == 4


async def test_where_the_time_is_up_no_more_is_compared_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(predictions([number]), predictions([number + 1])) for number in range(50)]
    assert (await compared(*pairs, seconds=-0.001)).compared == answer_book._FEWEST_COMPARED
    monkeypatch.setattr(answer_book, "_LONGER", 0.0)
    assert (await compared(*pairs, seconds=-0.001)).compared == 0


async def test_between_two_comparisons_others_have_their_turn() -> None:
    book = book_of(*[(predictions([number] * 5000), predictions([number + 1] * 5000)) for number in range(20)])
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await book.settle(time.monotonic() + LONG)
    task.cancel()
    assert turns > 40


# --- whose fault


FAILED = wire.Answer(1, wire.BAD_REQUEST, 0, b"", b"column x is missing")


async def failed_at(*recordings: Recording, ask: Ask | None, seconds: float = LONG) -> tuple[int, str]:
    """What the candidate is blamed for, when it fails at these."""
    book = book_of()
    for recording in recordings:
        book.answered(recording, FAILED)
    await book.prove(ask, time.monotonic() + seconds)
    found = book.findings(Times(), Times(), Memory(), 0.0)
    assert found.requests == len(recordings)
    return found.errors, found.error


def recorded(revision: RevisionId, body: bytes) -> Recording:
    """A request that a revision has answered."""
    return Recording(revision, b"", body, b"", b"{}", 0.001)


async def test_what_the_baseline_fails_at_too_is_no_fault() -> None:
    own, *earlier = recorded(V1, b"own"), recorded(V3, b"a"), recorded(V3, b"b"), recorded(V3, b"c")
    asked: list[bytes] = []

    async def ask(recording: Recording) -> wire.Answer:
        asked.append(recording.body)
        return FAILED if recording.body != b"b" else FAILED._replace(outcome=wire.OK)

    assert await failed_at(*earlier, ask=ask) == (1, "column x is missing")
    assert asked == [b"a", b"b", b"c"]
    assert await failed_at(own, ask=ask) == (1, "column x is missing")  # it has answered that itself
    assert len(asked) == 3
    assert await failed_at(earlier[0], earlier[2], ask=ask) == (0, "")


def test_a_sentence_of_any_length_is_cut() -> None:
    book = book_of()
    book.answered(recorded(V1, b"a"), FAILED._replace(body="ä".encode() * 10_000_000))
    assert 500 < len(book.findings(Times(), Times(), Memory(), 0.0).error) < 5000


async def test_where_the_baseline_cannot_be_asked_it_is_the_candidates_fault() -> None:
    async def refuse(recording: Recording) -> None:
        """Its queue is full."""

    for ask, seconds in ((None, LONG), (refuse, LONG), (refuse, -1.0)):
        assert (await failed_at(recorded(V3, b"a"), ask=ask, seconds=seconds))[0] == 1
