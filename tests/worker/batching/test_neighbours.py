"""A replica that batches, in a process of its own: neighbours, poison, cancels, crashes and hangs."""

import json
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.replica import Gateway, Replica
from tests.worker.warm import start
from tidegate_worker.ipc import wire

CODE = Path(__file__).parents[1]


def zoo_model(directory: Path, kind: str) -> Path:
    """A model directory, written by hand, whose loader is `zoo.py`."""
    (directory / "code").mkdir(parents=True)
    shutil.copy(CODE / "zoo.py", directory / "code" / "zoo.py")
    (directory / "kind").write_text(kind)
    inputs = [{"type": kind, "name": name, "required": True} for name, kind in ZOO_COLUMNS]
    flavor = {"code": "code", "loader_module": "zoo", "python_version": "3.11.7"}
    document = {"flavors": {"python_function": flavor}, "signature": {"inputs": json.dumps(inputs)}}
    (directory / "MLmodel").write_text(json.dumps(document))
    return directory


ZOO_COLUMNS = [("x", "double"), ("n", "long"), ("s", "string")]


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("zoo")
    replica = start(zoo_model(folder / "m", "linear"), folder, proved=False)
    try:
        assert replica.told()["batching"]["reason"].startswith("not enough evidence")
        warm(replica)
        batching = replica.told()["batching"]
        assert (batching["mode"], batching["exact"], batching["by"]) == ("proved", True, "real requests")
        assert [said for said in batching["alone"] if "null" not in said] == [
            'another text than the proof had in "s"',
            'a number beyond those that the proof had in "x", "n"',
        ]
        yield replica
    finally:
        replica.end()


def warm(replica: Replica) -> None:
    """Send usual rows, one by one, until the replica takes groups."""
    gateway = Gateway(replica.socket)
    allowed = gateway.hello()
    for number in range(400):
        if allowed["group"] > 1:
            break
        gateway.socket.sendall(wire.pack_requests([row(number, number / 10)]))
        gateway.answer()
        gateway.socket.sendall(wire.frame(wire.PING))
        while (frame := gateway.frame()) and frame[0] != wire.PONG:
            allowed = json.loads(frame[1])
    assert allowed["group"] > 1
    gateway.close()


def row(number: int, x: float, millis: int = 30_000, flags: int = 0) -> wire.Request:
    body = json.dumps({"inputs": {"x": [x], "n": [1], "s": ["a"]}}).encode()
    meta = wire.pack_meta([("content-type", "application/json"), ("request-id", str(number))])
    return wire.Request(number, millis, flags, meta, body)


def test_ten_thousand_mixed_requests_over_two_gateways(replica: Replica) -> None:
    source, gateways = random.Random(5), [Gateway(replica.socket) for _ in range(2)]
    assert all(gateway.hello()["group"] > 1 for gateway in gateways)
    number = 0
    for turn in range(80):
        sent: list[dict[int, float]] = [{}, {}]
        for at, gateway in enumerate(gateways):
            for _ in range(2):
                group = []
                for _ in range(32):
                    number += 1
                    x = 2e6 if source.random() < 0.01 else source.randint(-1000, 1000) / 4
                    group.append(row(number, x, flags=wire.ALONE if source.random() < 0.01 else 0))
                    sent[at][number] = x
                gateway.socket.sendall(wire.pack_requests(group))
            cancelled = source.sample(sorted(sent[at]), 3)
            gateway.socket.sendall(wire.pack_ids(wire.CANCEL, cancelled))
        for at, gateway in enumerate(gateways):
            left = dict(sent[at])
            while left:
                kind, payload = gateway.frame() or (0, b"")
                if kind == wire.RETURNED:
                    for each in wire.unpack_ids(memoryview(payload)):
                        del left[each]
                if kind in (wire.RETURNED, wire.CREDITS):
                    continue
                assert kind == wire.ANSWERS
                for answer in wire.unpack_answers(memoryview(payload)):
                    x = left.pop(answer.id)
                    if x > 1e6:
                        assert (answer.outcome, answer.body) == (wire.MODEL_ERROR, b"ValueError: poison")
                    else:
                        assert json.loads(answer.body) == {"predictions": [x * 2.5 + 1]}
        if turn % 20 == 19:  # a gateway dies with requests under way
            gateways[1].socket.sendall(wire.pack_requests([row(number + 1, 1.0)]))
            gateways[1].close()
            gateways[1] = Gateway(replica.socket)
            gateways[1].hello()
    for gateway in gateways:
        gateway.close()


def test_a_batch_that_waited_is_one(replica: Replica) -> None:
    gateway = Gateway(replica.socket)
    gateway.hello()
    gateway.socket.sendall(wire.pack_requests([row(number, float(number)) for number in range(1, 41)]))
    answers: list[wire.Answer] = []
    while len(answers) < 40:  # on a busy machine a batch is made smaller, so that nobody waits long
        kind, payload = gateway.frame() or (0, b"")
        answers += wire.unpack_answers(memoryview(payload)) if kind == wire.ANSWERS else []
    assert [json.loads(answer.body)["predictions"] for answer in answers] == [[n * 2.5 + 1] for n in range(1, 41)]
    assert all(int(wire.unpack_meta(answer.meta)["batch"]) > 1 for answer in answers)
    gateway.close()


def test_a_body_of_sixteen_megabytes(replica: Replica) -> None:
    gateway = Gateway(replica.socket)
    gateway.hello()
    rows = 400_000
    body = json.dumps({"inputs": {"x": [1.5] * rows, "n": [1] * rows, "s": ["some text of mine"] * rows}}).encode()
    assert len(body) > 10_000_000
    small = row(2, 2.0)
    gateway.socket.sendall(wire.pack_requests([small._replace(id=1, body=body)]))
    gateway.socket.sendall(wire.pack_requests([small]))
    answers: list[wire.Answer] = []
    while len(answers) < 2:
        kind, payload = gateway.frame() or (0, b"")
        answers += wire.unpack_answers(memoryview(payload)) if kind == wire.ANSWERS else []
    assert [answer.outcome for answer in answers] == [wire.OK, wire.OK]
    assert json.loads(answers[0].body)["predictions"] == [4.75] * rows
    gateway.close()


def test_credits_follow_when_batching_ends(tmp_path: Path) -> None:
    replica = start(zoo_model(tmp_path / "m", "turncoat"), tmp_path, proved=False)
    try:
        assert replica.told()["batching"]["mode"] == "off"
        warm(replica)
        assert replica.told()["batching"]["mode"] == "proved"
        gateway = Gateway(replica.socket)
        assert gateway.hello()["group"] > 1
        body = json.dumps({"inputs": {"x": [1.0], "n": [-7], "s": ["a"]}}).encode()
        other = json.dumps({"inputs": {"x": [5.0], "n": [-7], "s": ["a"]}}).encode()
        group = [row(1, 0)._replace(body=body), row(2, 0)._replace(body=other)]
        told = None
        deadline = time.monotonic() + 60
        while told is None and time.monotonic() < deadline:
            gateway.socket.sendall(wire.pack_requests(group))
            answered = 0
            while answered < 2:
                kind, payload = gateway.frame() or (0, b"")
                if kind == wire.CREDITS:
                    told = json.loads(payload)
                else:
                    answered += len(wire.unpack_answers(memoryview(payload)))
            # CREDITS comes after the answers that were found wrong
            gateway.socket.sendall(wire.frame(wire.PING))
            while (frame := gateway.frame()) and frame[0] != wire.PONG:
                told = json.loads(frame[1])
        assert told == {"credits": 1, "group": 1}
        again = Gateway(replica.socket)
        reason = "a live request got another answer in its batch than by itself; 2 answers had gone out in batches"
        assert again.hello()["batching"]["reason"] == reason
        again.close()
        gateway.close()
        assert "batching is off from now on" in replica.log.read_text()
        later = replica.told()
        assert (later["state"], later["batching"]["mode"]) == ("serving", "off")
        assert later["path"]["mode"] == "compiled"
    finally:
        replica.end()


MOODY = """
import re
import time
import zoo


class Moody(zoo.Animal):
    def predict(self, data, params=None):
        if (data["n"] == -7).any():
            re.match(r"(a+)+$", "a" * 64 + "b")  # holds the interpreter lock for years
        if (data["n"] == -6).any():
            time.sleep(1.4)
        return super().predict(data, params)


def _load_pyfunc(path):
    return Moody(zoo.linear)
"""


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[Replica]:
    """A replica of a row-wise model that hangs, or takes long, when it is told to."""
    model = zoo_model(tmp_path / "m", "linear")
    (model / "code" / "moody.py").write_text(MOODY)
    (model / "MLmodel").write_text((model / "MLmodel").read_text().replace('"zoo"', '"moody"'))
    replica = start(model, tmp_path, proved=False)
    try:
        assert replica.told()["state"] == "ready"
        warm(replica)
        yield replica
    finally:
        replica.end()


def mood(number: int, n: int, millis: int) -> wire.Request:
    body = json.dumps({"inputs": {"x": [1.0], "n": [n], "s": ["a"]}}).encode()
    return row(number, 1.0, millis)._replace(body=body)


def test_a_batch_that_hangs_ends_at_the_last_of_its_deadlines(moody: Replica) -> None:
    gateway = Gateway(moody.socket)
    gateway.hello()
    began = time.monotonic()
    gateway.socket.sendall(wire.pack_requests([row(1, 1.0, 300), mood(2, -7, 2_000), row(3, 1.0, 300)]))
    assert gateway.frame() is None
    assert moody.wait() == -signal.SIGALRM
    assert time.monotonic() - began > 1.9
    gateway.close()


def test_one_that_takes_far_longer_than_usual_is_answered_with_its_neighbours(moody: Replica) -> None:
    gateway = Gateway(moody.socket)
    gateway.hello()
    for _ in range(5):  # what is usual
        gateway.socket.sendall(wire.pack_requests([row(1, 1.0)]))
        gateway.answer()
    gateway.socket.sendall(wire.pack_requests([row(1, 1.0), mood(2, -6, 30_000), row(3, 1.0)]))
    gateway.socket.sendall(wire.pack_requests([mood(4, -6, 30_000)]))
    outcomes: dict[int, int] = {}
    while len(outcomes) < 4:
        kind, payload = gateway.frame() or (0, b"")
        assert kind in (wire.ANSWERS, wire.CREDITS)
        if kind == wire.ANSWERS:
            outcomes |= {answer.id: answer.outcome for answer in wire.unpack_answers(memoryview(payload))}
    assert outcomes == dict.fromkeys((1, 2, 3, 4), wire.OK)
    gateway.close()
