"""A replica's whole life in a process of its own, over its real socket."""

import json
import math
import os
import re
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.worker.replica import Gateway, Replica, eventually, predictions, probe_model, request, terminate
from tests.worker.replica import start as spawn
from tests.worker.warm import start
from tidegate.engines.linux.replica_deadline import GRACE_SECONDS, Deadline
from tidegate_worker.ipc import wire


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return probe_model(tmp_path_factory.mktemp("model") / "m", example="say:hello")


@pytest.fixture(scope="module")
def shared(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """One replica for all tests that leave it as it was."""
    replica = start(model, tmp_path_factory.mktemp("replica"), proved=False)
    try:
        assert replica.told()["state"] == "ready"
        yield replica
    finally:
        replica.end()


@pytest.fixture
def gateway(shared: Replica) -> Iterator[Gateway]:
    gateway = Gateway(shared.socket)
    gateway.hello()
    yield gateway
    gateway.close()


@pytest.fixture
def own(model: Path, tmp_path: Path) -> Iterator[Replica]:
    """A replica for one test alone."""
    replica = start(model, tmp_path)
    yield replica
    replica.end()


# --- the start ---


def test_ready_tells_what_was_proved_and_which_accelerators_are_on(model: Path, tmp_path: Path) -> None:
    replica = spawn(model, tmp_path, proved=False)
    try:
        told = replica.told()
        assert told["state"] == "ready"
        assert replica.loaded
        path = {"mode": "compiled", "input": "dataframe", "reason": "the columns are not all numbers of one type"}
        assert told["path"] == {**path, "row_labels": "ignored"}
        assert told["batching"]["mode"] == "off"
        assert told["batching"]["reason"].startswith("not enough evidence: ")
        serving = {"path": told["path"], "batching": told["batching"]}
        costs = told["proof"]["costs"]
        assert [rows for rows, _ in costs] == [1, 64]
        assert told["proof"] == {"example": "input_example", "warning": "", **serving, "costs": costs}
        assert re.fullmatch(r"msgspec [\d.]+", told["accelerators"]["json"])
        assert json.loads(told["answer"]) == {"predictions": ["say:hello"]}
        gateway = Gateway(replica.socket)
        welcome = gateway.hello()
        began = welcome.pop("start")
        assert began["mode"] == "spawn"
        assert began["asked"] <= began["forked"] <= began["ready"] <= time.monotonic()
        assert began["ready"] - began["forked"] < 60
        assert welcome == {
            "protocol": wire.PROTOCOL,
            "pid": replica.process.pid,
            "credits": 1,
            "group": 1,
            "proof": told["proof"],
            "accelerators": told["accelerators"],
            **serving,
        }
        gateway.close()
        assert stat.S_IMODE(replica.socket.stat().st_mode) == 0o600
        title = Path(f"/proc/{replica.process.pid}/cmdline").read_bytes().rstrip(b"\0").decode()
        assert title == "tidegate: replica probe 0123456789abcdef"
        assert {path.name for path in tmp_path.iterdir()} == {"r.sock", "replica.log"}  # MLflow makes no files here
    finally:
        replica.end()


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ("broken", "ImportError: No module named 'absent'"),
        (r"run raise ValueError('not \ud800 text')", "ValueError: not ? text"),  # the agent reads text alone
    ],
)
def test_a_model_that_does_not_load_fails_with_a_sentence(tmp_path: Path, behaviour: str, sentence: str) -> None:
    replica = start(probe_model(tmp_path / "m", behaviour), tmp_path)
    try:
        told = replica.told()
        assert told == {"state": "failed", "message": f"The model could not be loaded: {sentence}"}
        assert replica.wait() == 1
        assert "Traceback" in replica.log.read_text()
        assert not replica.socket.exists()
    finally:
        replica.end()


def test_a_model_that_fails_on_its_example_is_not_ready(tmp_path: Path) -> None:
    replica = start(probe_model(tmp_path / "m", example="fail:lost"), tmp_path, proved=False)
    try:
        assert replica.told() == {
            "state": "failed",
            "message": "The model failed on its own input example: KeyError: 'lost'",
        }
        assert replica.wait() == 1
    finally:
        replica.end()


def test_a_model_that_hangs_while_it_loads_is_ended_with_its_stack(tmp_path: Path) -> None:
    replica = start(probe_model(tmp_path / "m", "hanging"), tmp_path, load_timeout_seconds=3.0)
    try:
        assert replica.told() == {}
        assert replica.wait() == -signal.SIGALRM
        assert re.search(r'__main__\.py", line \d+ in _start', replica.log.read_text())
    finally:
        replica.end()


def test_nobody_listening_to_the_status_does_not_matter(model: Path, tmp_path: Path) -> None:
    replica = start(model, tmp_path)
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, replica.status)  # the pipe has no reader any more
        os.close(null)
        eventually(replica.socket.exists)
        gateway = Gateway(replica.socket)
        assert gateway.hello()["proof"] is not None
        gateway.close()
    finally:
        replica.end()


# --- who may talk to it ---


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "guessed"},
        {"secret": ""},
        {"secret": "gué"},
        {"secret": None},
        {"revision": "fedcba9876543210"},
        {"protocol": 99},
    ],
)
def test_a_stranger_is_turned_away(shared: Replica, wrong: dict[str, object]) -> None:
    stranger = Gateway(shared.socket)
    with pytest.raises(AssertionError, match="has closed"):
        stranger.hello(**wrong)
    stranger.close()


@pytest.mark.parametrize(
    "data",
    [
        wire.frame(wire.PING),
        wire.frame(wire.HELLO, b"not json"),
        wire.frame(wire.HELLO, b"[]"),
        wire.pack_requests([request(1, "say:hello", 1000)]),
        b"GET / HTTP/1.1\r\n\r\n",
        wire.HEADER.pack(1_000_000, wire.HELLO),
    ],
)
def test_whoever_does_not_begin_with_hello_is_turned_away(shared: Replica, data: bytes) -> None:
    stranger = Gateway(shared.socket)
    stranger.socket.sendall(data)
    with suppress(ConnectionResetError):  # where it closed before it had read all that was sent
        assert stranger.frame() is None
    stranger.close()


def test_a_broken_frame_costs_only_its_own_connection(shared: Replica, gateway: Gateway) -> None:
    broken = Gateway(shared.socket)
    broken.hello()
    broken.socket.sendall(wire.frame(wire.REQUESTS, b"\xff\xff\xff\xff"))
    assert broken.frame() is None
    broken.close()
    assert predictions(gateway.ask("say:still here")) == ["say:still here"]


# --- predictions ---


def test_an_answer_tells_its_timings(gateway: Gateway) -> None:
    answer = gateway.ask("sleep:0.05")
    assert predictions(answer) == ["sleep:0.05"]
    steps = {key: int(value) for key, value in wire.unpack_meta(answer.meta).items()}
    assert list(steps) == ["batch", "wait", "decode", "predict", "encode"]
    assert 50_000 <= steps["predict"] < 30_000_000


def test_a_group_is_answered_request_by_request(gateway: Gateway) -> None:
    gateway.send("say:a", "fail:b", "say:c", first=7)
    answers = [gateway.answer() for _ in range(3)]
    assert [(answer.id, answer.outcome) for answer in answers] == [(7, wire.OK), (8, wire.MODEL_ERROR), (9, wire.OK)]


def test_ping_is_answered(gateway: Gateway) -> None:
    gateway.socket.sendall(wire.frame(wire.PING, b"42"))
    assert gateway.expect(wire.PONG) == b"42"


def test_what_the_model_raises_is_told_and_logged(shared: Replica, gateway: Gateway) -> None:
    answer = gateway.ask("fail:what was asked")
    assert (answer.outcome, answer.body) == (wire.MODEL_ERROR, b"KeyError: 'what was asked'")
    log = shared.log.read_text()
    assert "request request-1: KeyError: 'what was asked'" in log
    assert "in fail" in log


def test_a_model_cannot_leave(gateway: Gateway) -> None:
    answer = gateway.ask("leave:now")
    assert (answer.outcome, answer.body) == (wire.MODEL_ERROR, b"SystemExit: now")
    assert predictions(gateway.ask("say:still here")) == ["say:still here"]


def test_there_is_no_thread_beside_the_model(gateway: Gateway) -> None:
    assert predictions(gateway.ask("threads:")) == [["MainThread"]]


def test_a_bad_body_is_refused(gateway: Gateway) -> None:
    gateway.socket.sendall(wire.pack_requests([wire.Request(1, 1000, 0, b"", b"{}")]))
    answer = gateway.answer()
    assert answer.outcome == wire.BAD_REQUEST
    assert b"exactly one of" in answer.body


def test_a_model_may_print_and_run_an_event_loop(shared: Replica, gateway: Gateway) -> None:
    assert predictions(gateway.ask("show:printed by the model")) == ["show:printed by the model"]
    assert predictions(gateway.ask("loop:")) == ["loop:"]
    assert "printed by the model\n" in shared.log.read_text()


def test_a_request_whose_deadline_has_passed_is_not_begun(gateway: Gateway) -> None:
    slow, late = request(1, "sleep:0.2", 30_000), request(2, "say:late", 50)
    gateway.socket.sendall(wire.pack_requests([slow, late]))
    assert [gateway.answer().outcome for _ in range(2)] == [wire.OK, wire.TIMED_OUT]


def test_a_cancelled_request_comes_back(gateway: Gateway) -> None:
    gateway.send("sleep:0.2", "fail:never", "say:b")
    gateway.socket.sendall(wire.pack_ids(wire.CANCEL, [2, 99]))
    frames = [gateway.frame() for _ in range(3)]
    returned = [frame[1] for frame in frames if frame and frame[0] == wire.RETURNED]
    answered = [
        wire.unpack_answers(memoryview(frame[1]))[0].id for frame in frames if frame and frame[0] == wire.ANSWERS
    ]
    assert [wire.unpack_ids(memoryview(payload)) for payload in returned] == [[2]]
    assert answered == [1, 3]


def test_two_gateways_are_both_served(shared: Replica, gateway: Gateway) -> None:
    other = Gateway(shared.socket)
    other.hello()
    gateway.send("sleep:0.1", "say:mine")
    other.send("say:theirs")
    assert predictions(other.answer()) == ["say:theirs"]
    assert [predictions(gateway.answer()) for _ in range(2)] == [["sleep:0.1"], ["say:mine"]]
    other.close()


def test_what_a_gateway_asked_is_forgotten_when_it_goes(shared: Replica, gateway: Gateway, tmp_path: Path) -> None:
    other = Gateway(shared.socket)
    other.hello()
    begun, never = tmp_path / "begun", tmp_path / "never"
    other.send(f"touch:{begun}", "sleep:0.3", f"touch:{never}")
    eventually(begun.exists)
    other.close()
    assert predictions(gateway.ask("say:next")) == ["say:next"]
    assert not never.exists()


def test_a_gateway_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    replica = start(probe_model(tmp_path / "m", "large"), tmp_path)
    try:
        assert replica.told()["state"] == "ready"
        slow, quick = Gateway(replica.socket), Gateway(replica.socket)
        slow.hello()
        quick.hello()
        slow.send("8000000", "8000000")
        for _ in range(20):
            assert predictions(quick.ask("3")) == ["xxx"]
        assert [len(predictions(slow.answer())[0]) for _ in range(2)] == [8_000_000, 8_000_000]
        slow.close()
        quick.close()
    finally:
        replica.end()


def test_an_answer_that_no_frame_holds_is_an_error_and_the_others_get_theirs(tmp_path: Path) -> None:
    replica = start(probe_model(tmp_path / "m", "narrow"), tmp_path, proved=False, batching="on")
    try:
        assert replica.told()["state"] == "ready"
        gateway = Gateway(replica.socket)
        gateway.hello()
        sizes = ["3", "400000", "999000", "1000001", "5000000", "400000", "7"]
        gateway.send(*sizes)
        came: dict[int, wire.Answer] = {}
        while len(came) < len(sizes):
            came |= {each.id: each for each in wire.unpack_answers(memoryview(gateway.expect(wire.ANSWERS)))}
        for number, size in enumerate(map(int, sizes), 1):
            if size > 1_000_000:
                assert came[number].outcome == wire.BAD_OUTPUT
                assert came[number].body.startswith(b"The model's answer is too large: it has ")
                assert b"at most 1000000 can be sent. Ask for fewer rows" in came[number].body
            else:
                assert predictions(came[number]) == ["x" * size]
        gateway.close()
        gateway = Gateway(replica.socket)
        gateway.hello()
        long = gateway.ask("-3000000")
        assert (long.outcome, len(long.body) < 5000) == (wire.MODEL_ERROR, True)
        assert replica.log.stat().st_size < 200_000
        assert predictions(gateway.ask("3")) == ["xxx"]
        gateway.close()
    finally:
        replica.end()


# --- the end ---


def test_a_prediction_over_its_deadline_ends_the_process_with_its_stack(own: Replica) -> None:
    assert own.told()["state"] == "ready"
    gateway = Gateway(own.socket)
    gateway.hello()
    gateway.send("hang:", millis=500)
    assert gateway.frame() is None
    assert own.wait() == -signal.SIGALRM
    log = own.log.read_text()
    assert re.search(r'probe\.py", line \d+ in hang', log)
    assert re.search(r'server\.py", line \d+ in _predict_next', log)
    gateway.close()


def test_a_model_that_takes_the_alarm_away_does_not_take_the_deadline_away(own: Replica) -> None:
    assert own.told()["state"] == "ready"
    deadline = Deadline(own.process.pid)
    assert not deadline.missed(math.inf)  # it was ready, and may wait as long as it likes
    gateway = Gateway(own.socket)
    gateway.hello()
    assert predictions(gateway.ask("say:first")) == ["say:first"]
    assert not deadline.missed(math.inf)
    gateway.send("disarm:", millis=300)
    eventually(lambda: deadline.missed(time.monotonic() + GRACE_SECONDS))
    assert own.runs()
    gateway.close()
    deadline.close()


def test_a_load_has_a_deadline_too(tmp_path: Path) -> None:
    replica = start(probe_model(tmp_path / "m", "hanging"), tmp_path, load_timeout_seconds=30.0)
    deadline = Deadline(replica.process.pid)
    try:
        eventually(lambda: deadline.missed(time.monotonic() + GRACE_SECONDS + 30.0))
        assert not deadline.missed(time.monotonic() + GRACE_SECONDS)
    finally:
        deadline.close()
        replica.end()


def test_the_served_entitys_timeout_caps_the_deadline(model: Path, tmp_path: Path) -> None:
    replica = start(model, tmp_path, timeout_seconds=0.5)
    try:
        assert replica.told()["state"] == "ready"
        gateway = Gateway(replica.socket)
        gateway.hello()
        gateway.send("hang:", millis=600_000)
        assert replica.wait() == -signal.SIGALRM
        gateway.close()
    finally:
        replica.end()


def test_sigterm_drains(model: Path, tmp_path: Path) -> None:
    own = spawn(model, tmp_path)
    own.told()
    gateway, idle = Gateway(own.socket), Gateway(own.socket)
    gateway.hello()
    idle.hello()
    gateway.ask("say:first")  # after which it has something to write down
    begun = tmp_path / "begun"
    gateway.send(f"touch:{begun}", "sleep:0.5", "say:a", "say:b")
    eventually(begun.exists)
    assert gateway.answer().id == 1
    terminate(own)
    assert gateway.answer().id == 2  # it was under way
    assert gateway.expect(wire.DRAINING) == b""
    assert wire.unpack_ids(memoryview(gateway.expect(wire.RETURNED))) == [3, 4]
    gateway.send("say:too late", first=5)  # sent before DRAINING was read
    assert wire.unpack_ids(memoryview(gateway.expect(wire.RETURNED))) == [5]
    assert idle.expect(wire.DRAINING) == b""
    idle.close()
    gateway.close()
    assert own.wait() == 0
    assert not own.socket.exists()
    own.end()


def test_an_idle_replica_ends_at_once(own: Replica) -> None:
    own.told()
    Gateway(own.socket).close()
    terminate(own)
    assert own.wait() == 0
    assert not own.socket.exists()


def test_it_drains_after_a_model_took_its_signals_away(own: Replica) -> None:
    own.told()
    gateway = Gateway(own.socket)
    gateway.hello()
    assert json.loads(gateway.ask("loop:").body) == {"predictions": ["loop:"]}
    terminate(own)
    assert gateway.expect(wire.DRAINING) == b""
    gateway.close()
    assert own.wait() == 0


def test_it_tells_how_much_memory_it_has_between_two_predictions(gateway: Gateway, shared: Replica) -> None:
    pages = int(Path(f"/proc/{shared.process.pid}/statm").read_text().split()[1])
    gateway.send("sleep:0.2")
    gateway.socket.sendall(wire.frame(wire.MEASURE))
    # In either order: where both arrive together, it is measured before the prediction begins.
    frames = dict(frame for frame in (gateway.frame(), gateway.frame()) if frame)
    assert frames.keys() == {wire.ANSWERS, wire.MEASURED}
    [resident] = wire.unpack_ids(memoryview(frames[wire.MEASURED]))
    assert resident > 10_000_000
    assert abs(resident - pages * os.sysconf("SC_PAGE_SIZE")) < 50_000_000


def test_a_stranger_is_told_nothing_of_its_memory(shared: Replica) -> None:
    stranger = Gateway(shared.socket)
    stranger.socket.sendall(wire.frame(wire.MEASURE))
    assert stranger.frame() is None
    stranger.close()
