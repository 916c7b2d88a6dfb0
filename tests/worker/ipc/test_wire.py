"""The frames between gateways and replicas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_worker.ipc import wire

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
METAS, BODIES = st.binary(max_size=40), st.binary(max_size=200)
REQUESTS = st.lists(st.builds(wire.Request, U64, U32, st.integers(0, 255), METAS, BODIES), max_size=5)
ANSWERS = st.lists(st.builds(wire.Answer, U64, st.integers(0, 255), st.integers(0, 255), METAS, BODIES), max_size=5)
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\n="), max_size=10)


def only(data: bytes) -> tuple[int, memoryview]:
    """The one frame that these bytes are."""
    [framed] = wire.Frames().feed(data)
    return framed


@given(REQUESTS)
def test_requests_survive_the_wire(requests: list[wire.Request]) -> None:
    kind, payload = only(wire.pack_requests(requests))
    assert kind == wire.REQUESTS
    assert wire.unpack_requests(payload) == requests


@given(ANSWERS)
def test_answers_survive_the_wire(answers: list[wire.Answer]) -> None:
    kind, payload = only(wire.pack_answers(answers))
    assert kind == wire.ANSWERS
    assert wire.unpack_answers(payload) == answers


@given(st.lists(U64))
def test_ids_survive_the_wire(ids: list[int]) -> None:
    kind, payload = only(wire.pack_ids(wire.CANCEL, ids))
    assert kind == wire.CANCEL
    assert wire.unpack_ids(payload) == ids


@given(st.dictionaries(LATIN, LATIN))
def test_metadata_survives_the_wire(meta: dict[str, str]) -> None:
    assert wire.unpack_meta(wire.pack_meta(meta.items())) == (meta if meta != {"": ""} else {"": ""})


def test_a_value_may_hold_the_separator() -> None:
    assert wire.unpack_meta(wire.pack_meta([("content-type", "text/csv; charset=utf-8")])) == {
        "content-type": "text/csv; charset=utf-8"
    }


@given(REQUESTS.filter(bool), st.data())
def test_a_payload_cut_short_is_refused(requests: list[wire.Request], data: st.DataObject) -> None:
    _, payload = only(wire.pack_requests(requests))
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(wire.WireError):
        wire.unpack_requests(payload[:cut])


def test_ids_cut_short_are_refused() -> None:
    with pytest.raises(wire.WireError):
        wire.unpack_ids(memoryview(b"1234567"))


@given(st.lists(st.tuples(st.integers(1, 9), BODIES), max_size=6), st.integers(1, 50))
def test_frames_come_whole_however_the_bytes_arrive(sent: list[tuple[int, bytes]], step: int) -> None:
    stream = b"".join(wire.frame(kind, payload) for kind, payload in sent)
    for size in (1, step, len(stream) or 1):
        frames = wire.Frames()
        got = [
            (kind, bytes(payload))
            for at in range(0, len(stream), size)
            for kind, payload in frames.feed(stream[at : at + size])
        ]
        assert got == sent


@pytest.mark.parametrize("length", [0, wire.MAX_FRAME_BYTES + 1])
def test_an_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(wire.WireError):
        wire.Frames().feed(wire.HEADER.pack(length, wire.HELLO))


def test_the_limit_can_be_raised_between_frames() -> None:
    frames = wire.Frames(max_bytes=10)
    with pytest.raises(wire.WireError):
        wire.Frames(max_bytes=10).feed(wire.frame(wire.HELLO, b"x" * 10))
    assert frames.feed(wire.frame(wire.HELLO, b"x" * 9))
    frames.max_bytes = 100
    assert frames.feed(wire.frame(wire.HELLO, b"x" * 99))


@pytest.mark.parametrize("step", [1000, 65536, 300_000])
def test_large_frames_come_whole_among_small_ones(step: int) -> None:
    sent = [(1, b"a"), (2, bytes(range(256)) * 1000), (3, b""), (4, b"x" * 70_000), (5, b"b")]
    stream = b"".join(wire.frame(kind, payload) for kind, payload in sent)
    frames = wire.Frames()
    got = []
    for at in range(0, len(stream), step):
        got += [(kind, bytes(payload)) for kind, payload in frames.feed(stream[at : at + step])]
    assert got == sent


def test_a_large_frame_may_be_read_into_its_place() -> None:
    frames, stream = wire.Frames(), wire.frame(1, b"y" * 200_000)
    assert frames.feed(stream[:10]) == []
    got: list[tuple[int, memoryview]] = []
    for at in range(10, len(stream), 60_000):
        part = stream[at : at + 60_000]
        room = frames.room
        assert room is not None
        room[: len(part)] = part
        got += frames.filled(len(part))
    assert [(kind, bytes(payload)) for kind, payload in got] == [(1, b"y" * 200_000)]
    assert frames.room is None
    assert frames.feed(wire.frame(2, b"z"))


@pytest.mark.parametrize("reads_into_place", [False, True])
def test_a_frame_takes_memory_as_it_comes_and_not_as_it_is_announced(reads_into_place: bool) -> None:
    payload = bytes(range(256)) * 80_000  # 20 MB
    frames, stream = wire.Frames(), wire.frame(1, payload) + wire.frame(2, b"z")
    assert frames.feed(wire.HEADER.pack(wire.MAX_FRAME_BYTES, 1)) == []
    assert frames.room is not None
    assert len(frames.room) <= 4 * 1024 * 1024

    frames, came, at = wire.Frames(), list[tuple[int, memoryview]](), 10
    came += frames.feed(stream[:at])
    while at < len(stream):
        room = frames.room if reads_into_place else None
        count = min(len(room) if room is not None else 700_000, 700_000, len(stream) - at)
        if room is None:
            came += frames.feed(stream[at : at + count])
        else:
            room[:count] = stream[at : at + count]
            came += frames.filled(count)
        at += count
    assert [(kind, bytes(whole)) for kind, whole in came] == [(1, payload), (2, b"z")]


@given(sizes=st.lists(st.integers(0, 40), max_size=12))
def test_answers_go_in_frames_that_a_gateway_takes(sizes: list[int]) -> None:
    answers = [wire.Answer(number, wire.OK, 0, b"m=1", b"x" * size) for number, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "MAX_GROUP_BYTES", 24)
        patch.setattr(wire, "MAX_FRAME_BYTES", wire.OVERHEAD_BYTES + 32)
        frames = wire.answer_frames(answers)
    came = [wire.unpack_answers(payload) for frame in frames for _, payload in wire.Frames().feed(frame)]
    assert [answer.id for group in came for answer in group] == list(range(len(sizes)))
    for answer, size in zip([answer for group in came for answer in group], sizes, strict=True):
        assert answer.meta == b"m=1"
        if size <= 32:
            assert (answer.outcome, answer.body) == (wire.OK, b"x" * size)
        else:
            assert (answer.outcome, b"it has %d bytes, and at most 32" % size in answer.body) == (wire.BAD_OUTPUT, True)
    assert all(
        len(group) == 1 or sum(len(each.body) for each in group if each.outcome == wire.OK) <= 24 for group in came
    )


def test_answers_of_usual_size_go_in_one_frame() -> None:
    answers = [wire.Answer(number, wire.OK, 0, b"", b"[]") for number in range(64)]
    assert wire.answer_frames(answers) == [wire.pack_answers(answers)]
