"""What is kept of real requests, and how much."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.route_table import RevisionRoute
from tidegate.gateway.replay.recordings import OVERHEAD, Recorder, Recording, Recordings
from tidegate.settings import GateSettings
from tidegate_worker.ipc import wire

V1 = RevisionId("1" * 16)
ROUTE = RevisionRoute(V1, "wine", "wine-1", "/agent", 60.0, True)
CAREFUL = RevisionRoute(V1, "wine", "wine-1", "/agent", 60.0, False)


def recordings(**settings: Any) -> Recordings:
    return Recordings(GateSettings(**settings))


def recorder(kept: Recordings, endpoint: str = "wine") -> Recorder:
    """The endpoint's recorder; it must have one."""
    found = kept.of(endpoint, None)
    assert found is not None
    return found


def record(to: Recorder, body: bytes = b"[1]", answer: bytes = b"{}", route: RevisionRoute = ROUTE) -> None:
    to.record(route, b"meta", body, wire.Answer(1, wire.OK, 0, b"predict=1", answer), 0.5)


def size(recording: Recording) -> int:
    """What counts of it."""
    told = (recording.meta, recording.body, recording.answer_meta, recording.answer)
    return OVERHEAD + sum(map(len, told))


def bodies(kept: Recordings, endpoint: str = "wine") -> list[bytes]:
    return [recording.body for recording in kept.newest(endpoint)]


def test_a_recording_has_all_that_a_replay_needs() -> None:
    kept = recordings()
    record(recorder(kept))
    assert kept.newest("wine") == [(V1, b"meta", b"[1]", b"predict=1", b"{}", 0.5)]
    assert kept.newest("tea") == []


def test_the_newest_are_kept_and_the_newest_come_first() -> None:
    kept = recordings(requests=3)
    for number in range(5):
        record(recorder(kept), str(number).encode())
    assert bodies(kept) == [b"4", b"3", b"2"]
    assert kept.bytes == 3 * (OVERHEAD + len(b"meta" + b"4" + b"predict=1" + b"{}"))


def test_what_is_too_large_with_its_answer_is_not_kept() -> None:
    kept = recordings(max_request_kb=1)
    record(recorder(kept), b"x" * 1000, b"y" * 24)
    record(recorder(kept), b"x" * 1000, b"y" * 25)
    record(recorder(kept), b"x", b"y" * 1024)
    assert [len(recording.body + recording.answer) for recording in kept.newest("wine")] == [1024]


def test_a_model_that_must_not_be_asked_twice_is_not_recorded() -> None:
    kept = recordings()
    record(recorder(kept), route=CAREFUL)
    assert (bodies(kept), kept.bytes) == ([], 0)


@pytest.mark.parametrize(
    ("platform", "endpoint", "kept"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
def test_an_endpoints_own_word_goes_before_the_platforms(platform: bool, endpoint: bool | None, kept: bool) -> None:
    assert (recordings(record=platform).of("wine", endpoint) is not None) is kept


def test_where_nothing_is_to_be_kept_any_more_nothing_is() -> None:
    kept = recordings()
    record(recorder(kept))
    assert kept.of("wine", False) is None
    assert (bodies(kept), kept.bytes) == ([], 0)


def test_what_is_under_way_when_an_endpoint_goes_is_not_kept() -> None:
    kept = recordings()
    under_way = recorder(kept)
    record(under_way)
    record(recorder(kept, "tea"))
    kept.keep({"tea": None})
    record(under_way)
    assert (bodies(kept), bodies(kept, "tea")) == ([], [b"[1]"])
    assert kept.bytes == size(kept.newest("tea")[0])
    assert recorder(kept) is not under_way


def test_an_endpoint_that_is_not_to_be_recorded_any_more_is_forgotten_without_a_request() -> None:
    kept, off = recordings(), recordings(record=False)
    for one in (kept, off):
        for endpoint in ("own", "platforms"):
            to = one.of(endpoint, True)
            assert to is not None
            record(to)
        one.keep({"own": False, "platforms": None})
    assert (bodies(kept, "own"), bodies(kept, "platforms")) == ([], [b"[1]"])
    assert off.bytes == 0


def test_the_largest_makes_room_and_every_endpoint_keeps_its_share() -> None:
    kept = recordings(max_memory_mb=1, requests=10_000)
    for _ in range(20):
        record(recorder(kept, "small"), b"x" * 1000)
    for _ in range(2000):
        record(recorder(kept, "large"), b"x" * 10_000)
    assert len(kept.newest("small")) == 20
    assert 500_000 < kept.bytes <= kept.limit == 1024 * 1024
    assert len(kept.newest("large")) >= 40


def test_of_small_requests_no_more_memory_is_held_than_is_counted() -> None:
    kept = recordings(requests=3000)
    to = recorder(kept)

    def answered(number: int) -> None:
        answer = wire.Answer(number, wire.OK, 0, b"batch=1\npredict=%d\n" % number, b"[%d]" % number)
        to.record(ROUTE, b"request-id=%032d\n" % number, b'{"inputs":[%d]}' % number, answer, number / 7)

    for number in range(1000):
        answered(number)
    counted = kept.bytes
    tracemalloc.start()
    for number in range(1000, 3000):
        answered(number)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.8 < held / (kept.bytes - counted) < 1.1


def test_what_a_callers_headers_hold_is_counted() -> None:
    kept = recordings(max_memory_mb=1)
    for _ in range(200):
        recorder(kept).record(ROUTE, b"x" * 10_000, b"[1]", wire.Answer(1, wire.OK, 0, b"", b"{}"), 0.5)
    assert 40 < len(bodies(kept)) < 105


def test_one_that_is_larger_than_all_that_may_be_kept_is_let_go() -> None:
    kept = recordings(max_memory_mb=1, max_request_kb=4096)
    record(recorder(kept), b"x" * 2_000_000)
    assert (bodies(kept), kept.bytes) == ([], 0)


@given(st.integers(1, 4), st.lists(st.integers(0, 9)))
def test_of_any_requests_the_newest_are_kept(most: int, sizes: list[int]) -> None:
    kept = recordings(requests=most)
    for size in sizes:
        record(recorder(kept), b"x" * size, b"")
    assert [len(body) for body in bodies(kept)] == sizes[::-1][:most]


class Accounting(RuleBasedStateMachine):
    """Whatever happens, the bytes that are told are those that are held."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = recordings(requests=3, max_request_kb=1)
        self.kept.limit = 2500
        self.old: list[Recorder] = []

    @rule(endpoint=st.sampled_from("abc"), size=st.integers(0, 1100), careful=st.booleans())
    def asked(self, endpoint: str, size: int, careful: bool) -> None:
        to = recorder(self.kept, endpoint)
        self.old.append(to)
        record(to, b"x" * size, b"y", CAREFUL if careful else ROUTE)

    @rule(size=st.integers(0, 100), which=st.integers(0, 99))
    def answered_late(self, size: int, which: int) -> None:
        if self.old:
            record(self.old[which % len(self.old)], b"x" * size)

    @rule(left=st.sets(st.sampled_from("abc")))
    def table_changed(self, left: set[str]) -> None:
        self.kept.keep(dict.fromkeys(left))

    @rule(endpoint=st.sampled_from("abc"))
    def recording_ended(self, endpoint: str) -> None:
        self.kept.of(endpoint, False)

    @invariant()
    def nothing_drifts(self) -> None:
        held = {name: sum(map(size, self.kept.newest(name))) for name in "abc"}
        assert self.kept.bytes == sum(held.values()) <= self.kept.limit
        for name, one in self.kept._recorders.items():
            assert one.bytes == held[name]


TestAccounting = Accounting.TestCase
