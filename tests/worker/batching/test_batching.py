"""Who is predicted together: never a model that is not row-wise, and never at the cost of a neighbour."""

import json
import math
import os
import random
import time
from typing import Any

import pandas as pd
import pytest

from tests.worker import zoo
from tests.worker.forms import form
from tests.worker.queues import House, animal, request
from tidegate_worker.ipc import wire
from tidegate_worker.output import equality
from tidegate_worker.output.encoder import plain
from tidegate_worker.proof import batch_trial
from tidegate_worker.proof.verdict import BY_REQUESTS, OFF, PROVED, Verdict

SEED = 20


@pytest.mark.parametrize("name", zoo.ROW_WISE)
def test_row_wise_models_are_proved(name: str) -> None:
    house = House(animal(zoo.ROW_WISE[name]))
    assert house.batcher.serving.verdict.thin  # made-up rows prove nothing of code that its owner wrote
    assert house.batcher.credits == (1, 1)
    batcher = house.warm(40).batcher
    assert batcher.serving.verdict.mode == PROVED, batcher.serving.verdict
    assert batcher.serving.verdict.by == BY_REQUESTS
    assert batcher.credits.group > 1


@pytest.mark.parametrize("name", zoo.NOT_ROW_WISE)
def test_others_are_not(name: str) -> None:
    batcher = House(animal(zoo.NOT_ROW_WISE[name]())).batcher
    assert batcher.serving.verdict.mode == OFF
    assert batcher.credits == (1, 1)


def traffic(count: int, source: random.Random) -> list[tuple[wire.Request, dict[str, Any], dict[str, Any]]]:
    """Mixed requests with their columns and params: one row and several, every form, nulls, poison, other params."""
    found = []
    for number in range(count):
        rows = 1 if source.random() < 0.8 else source.randint(2, 5)
        columns: dict[str, list[Any]] = {
            "x": [source.choice([source.uniform(-9, 9), source.randint(-3, 3) * 1.0]) for _ in range(rows)],
            "n": [source.randint(-50, 50) for _ in range(rows)],
            "s": [source.choice(["a", "b", "ü", ""]) for _ in range(rows)],
        }
        if source.random() < 0.02:
            columns["x"][0] = zoo.POISON * 10
        params = {"scale": source.choice([0.5, 2.0])} if source.random() < 0.2 else {}
        document = form(columns, source)
        document |= {"params": params} if params else {}
        flags = wire.ALONE if source.random() < 0.02 else 0
        found.append((request(number, document, flags), columns, params))
    return found


def expected(function: zoo.Function, columns: dict[str, Any], params: dict[str, Any]) -> Any:
    """The answer to a request by itself, or None where the model raises."""
    try:
        return plain(function(pd.DataFrame(columns), {"scale": 1.0, **params}))
    except ValueError:
        return None


def check(name: str, count: int) -> list[int]:
    """Send mixed traffic; every answer must be the request's own. Returns the sizes of the batches."""
    source, function = random.Random(f"{SEED} {name}"), zoo.ROW_WISE[name]
    house = House(animal(function)).warm()
    while count > 0:
        sent = {each.id: (each, columns, params) for each, columns, params in traffic(min(count, 300), source)}
        count -= len(sent)
        order = list(sent)
        source.shuffle(order)
        answers = list(house.answers([sent[number][0] for number in order]))
        assert sorted(answer.id for answer in answers) == sorted(sent)
        for answer in answers:
            _, columns, params = sent[answer.id]
            own = expected(function, columns, params)
            assert (answer.outcome == wire.OK) == (own is not None), (name, columns, answer)
            if own is None:
                assert (answer.outcome, answer.body) == (wire.MODEL_ERROR, b"ValueError: poison")
            else:
                tolerance = equality.SINGLE if name == "singles" else equality.DOUBLE
                assert equality.compare(json.loads(answer.body)["predictions"], own, tolerance).same, (name, columns)
    assert house.batcher.serving.verdict.mode == PROVED
    return house.sizes


@pytest.mark.parametrize("name", zoo.ROW_WISE)
def test_every_caller_gets_its_own_answer(name: str) -> None:
    assert max(check(name, 1_200)) > 4


@pytest.mark.acceptance
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", zoo.ROW_WISE)
def test_every_caller_gets_its_own_answer_at_full_size(name: str) -> None:
    check(name, math.ceil(int(os.environ.get("TIDEGATE_ZOO_REQUESTS", "1000000")) / len(zoo.ROW_WISE)))


@pytest.mark.parametrize("name", zoo.NOT_ROW_WISE)
def test_what_is_not_proved_is_never_batched(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine makes a model seem slow, which is then tried, and proved, with smaller batches only.
    monkeypatch.setattr(batch_trial, "_MAX_BATCH_SECONDS", 60.0)
    house = House(animal(zoo.NOT_ROW_WISE[name]()))
    answered = list(house.answers([each for each, _, _ in traffic(60, random.Random(SEED))]))
    assert len(answered) == 60
    assert set(house.sizes) == {1}


def row(number: int, x: float = 1.0, n: int = 1, **more: Any) -> wire.Request:
    return request(number, {"inputs": {"x": [x], "n": [n], "s": ["a"]}, **more})


def scaled(number: int, x: float = 1.0, scale: float = 2.0) -> wire.Request:
    return row(number, x, params={"scale": scale})


def test_params_keep_requests_apart() -> None:
    house = House(animal(zoo.linear)).warm()
    requests = [scaled(number) if number % 2 else row(number) for number in range(20)]
    expected = {number: [7.0] if number % 2 else [3.5] for number in range(20)}

    def answers() -> dict[int, Any]:
        return {answer.id: json.loads(answer.body)["predictions"] for answer in house.answers(requests)}

    assert answers() == expected
    assert house.sizes.count(1) >= 10  # params that were never tried go alone
    assert max(house.sizes) > 1
    list(house.answers([scaled(number, float(number % 9)) for number in range(40)]))
    house.sizes.clear()
    assert answers() == expected
    assert 2 <= len(house.sizes) < 20


def test_params_that_make_it_depend_on_others_stay_alone() -> None:
    def centred(data: Any, params: Any) -> Any:
        x = data["x"].to_numpy()
        return x - x.mean() if params.get("scale") == 2.0 else x

    house = House(animal(centred)).warm()
    for _ in range(3):
        found = list(house.answers([scaled(number, float(number % 9)) for number in range(40)]))
        assert [json.loads(answer.body)["predictions"] for answer in found] == [[0.0]] * 40
    assert set(house.sizes) == {1}
    assert house.batcher.serving.verdict.mode == PROVED
    assert [what for what, _ in house.batcher.serving.verdict.refuted if what != "null"] == ["params"]


def test_params_that_do_not_fit_are_refused_by_themselves() -> None:
    house = House(animal(zoo.linear)).warm()
    answers = list(house.answers([row(1), row(2, params={"scale": "much"}), row(3, params=[1]), row(4)]))
    assert [(answer.id, answer.outcome) for answer in answers] == [
        (1, wire.OK),
        (4, wire.OK),
        (2, wire.BAD_REQUEST),
        (3, wire.BAD_REQUEST),
    ]


def test_only_the_guilty_request_fails() -> None:
    def picky(data: Any, params: Any) -> Any:
        if (data["n"] == -7).any():
            raise ValueError("poison")
        return data["x"].to_numpy()

    house = House(animal(picky)).warm()
    answers = list(house.answers([row(number, n=-7 if number == 13 else 1) for number in range(64)]))
    assert [answer.id for answer in answers if answer.outcome != wire.OK] == [13]
    assert max(house.sizes) > 1


def test_what_must_be_alone_is() -> None:
    house = House(animal(zoo.linear)).warm()
    requests = [row(1), row(2)._replace(flags=wire.ALONE), row(3), row(4)._replace(flags=wire.ALONE)]
    assert [answer.id for answer in house.answers(requests)] == [1, 3, 2, 4]
    assert house.sizes == [2, 1, 1]


def test_an_answer_tells_the_size_of_its_batch() -> None:
    [answer, _] = House(animal(zoo.linear)).warm().answers([row(1), row(2)])
    assert wire.unpack_meta(answer.meta)["batch"] == "2"
    assert list(wire.unpack_meta(answer.meta)) == ["batch", "wait", "decode", "predict", "encode"]


def test_the_owner_may_switch_it_off_and_on() -> None:
    off = House(animal(zoo.linear), batching="off")
    assert off.batcher.credits == (1, 1)
    assert len(list(off.answers([row(1), row(2)]))) == 2
    assert off.sizes == [1, 1]
    on = House(animal(zoo.batch_mean), batching="on")
    answers = [json.loads(answer.body)["predictions"] for answer in on.answers([row(1, 1.0), row(2, 3.0)])]
    assert (on.sizes, answers) == ([2], [[-1.0], [1.0]])


def test_off_means_that_nothing_is_predicted_twice(capsys: pytest.CaptureFixture[str]) -> None:
    calls = []

    def fails(data: Any, params: Any) -> Any:
        calls.append(len(data))
        raise KeyError("lost")

    house = House(animal(fails), batching="off")
    calls.clear()
    [answer] = house.answers([row(1)])
    assert (answer.outcome, answer.body) == (wire.MODEL_ERROR, b"KeyError: 'lost'")
    assert calls == [1]
    assert "request r-1: KeyError: 'lost'" in capsys.readouterr().err


def test_on_with_another_length_is_given_up() -> None:
    house = House(animal(zoo.other_length), batching="on")
    answers = [json.loads(answer.body)["predictions"] for answer in house.answers([row(1, 1.0), row(2, 3.0)])]
    assert answers == [[1.0], [3.0]]
    assert house.batcher.serving.verdict.mode == OFF


def test_the_live_sample_finds_what_the_proof_could_not(capsys: pytest.CaptureFixture[str]) -> None:
    house = House(animal(zoo.Turncoat())).warm()
    assert house.batcher.serving.verdict.mode == PROVED
    for turn in range(10):
        list(house.answers([row(turn * 10 + at, float(at), 7) for at in range(8)]))
    list(house.answers([row(100 + at, float(at), 7 if at else -7) for at in range(8)]))
    assert house.batcher.serving.verdict == Verdict(
        OFF,
        "a live request got another answer in its batch than by itself; 88 answers had gone out in batches",
    )
    assert house.batcher.serving.path.mode == "compiled"
    assert house.batcher.credits == (1, 1)
    assert "batching is off from now on" in capsys.readouterr().err


def test_evidence_comes_with_real_rows() -> None:
    def shy(data: Any, params: Any) -> Any:
        if not set(data["s"]) <= {"known", "other"}:  # none of the made-up rows
            raise ValueError("unknown")
        return data["x"].to_numpy() * 2

    house = House(animal(shy))
    assert house.batcher.serving.verdict.thin
    for number in range(40):
        document = {"inputs": {"x": [number / 3], "n": [number], "s": ["known"]}}
        assert number >= 8 or house.batcher.credits == (1, 1)
        list(house.answers([request(number, document)]))
    assert house.batcher.serving.verdict.mode == PROVED
    assert house.batcher.credits.group > 1


def test_a_trial_goes_on_between_requests() -> None:
    calls = []

    def counted(data: Any, params: Any) -> Any:
        calls.append(len(data))
        time.sleep(0.002)  # as long as a trial may hold up the next
        return data["x"].to_numpy()

    house = House(animal(counted))
    house.whole_trials = False
    told = []
    for number in range(400):
        calls.clear()
        list(house.answers([row(number, number / 100)]))
        told.append(len(calls))
        if not house.batcher.serving.verdict.thin:
            break
    assert house.batcher.serving.verdict.mode == PROVED
    assert told[:7] == [1] * 7
    assert max(told) == 2
    assert len(told) > 40


def test_a_model_with_one_usual_answer_waits_for_another() -> None:
    house = House(animal(lambda data, params: ["rare" if x > 1000 else "usual" for x in data["x"]]))
    for number in range(120):
        list(house.answers([row(number, float(number))]))
        assert house.batcher.serving.verdict.thin
    list(house.answers([row(120, 2000.0)]))
    assert house.batcher.serving.verdict.mode == PROVED


def test_callers_who_always_send_params_or_nulls_are_batched_too() -> None:
    house = House(animal(zoo.roots))
    for number in range(100):
        body = {"inputs": {"x": [float(number)], "n": [number], "s": ["a"]}, "params": {"scale": 3.0}}
        list(house.answers([request(number, body)]))
    assert house.batcher.serving.verdict.mode == PROVED
    list(house.answers([scaled(number, 5.0, 3.0) for number in range(20)]))
    assert max(house.sizes) > 1


def test_what_goes_wrong_in_the_look_back_ends_batching_only(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(animal(zoo.linear)).warm()
    monkeypatch.setattr(house.reviewer, "_check_some", lambda *_: 1 / 0)
    assert [answer.outcome for answer in house.answers([row(1), row(2)])] == [wire.OK] * 2
    assert house.batcher.serving.verdict.reason == "the review of a batch failed (ZeroDivisionError)"


def test_what_was_proved_is_not_proved_again() -> None:
    calls = []

    def counted(data: Any, params: Any) -> Any:
        calls.append(len(data))
        return data["x"].to_numpy()

    first = House(animal(counted)).batcher.serving
    assert calls
    calls.clear()
    record = {"path": first.path._asdict(), "batching": first.verdict._asdict()}
    again = House(animal(counted), proof={"example": "signature", "warning": "", **record}).batcher.serving
    assert (again.path, again.verdict) == (first.path, first.verdict)
    assert calls == []


def test_a_proof_of_an_earlier_version_is_made_anew() -> None:
    house = House(animal(zoo.batch_mean))
    old = {"path": house.batcher.serving.path._asdict(), "batching": {"mode": "proved", "reason": "", "exact": True}}
    again = House(animal(zoo.batch_mean), proof={"example": "signature", "warning": "", **old})
    assert again.batcher.serving.verdict.mode == OFF


def test_what_a_start_has_measured_the_next_one_does_not_guess() -> None:
    first = House(animal(zoo.linear), batching="on").batcher
    assert first.costs == []
    first.learn_cost(1, 0.001)
    first.learn_cost(64, 0.064)
    assert first.credits.group == 32  # 50 ms at most
    record = {"path": first.serving.path._asdict(), "batching": first.serving.verdict._asdict(), "costs": first.costs}
    proof = json.loads(json.dumps({"example": "signature", "warning": "", **record}))
    again = House(animal(zoo.linear), batching="on", proof=proof).batcher
    assert again.credits == first.credits
    assert dict(again.costs) == pytest.approx(dict(first.costs), rel=0.1)


def test_one_deadline_that_has_passed_holds_up_nobody() -> None:
    house = House(animal(zoo.linear)).warm()
    house.put(row(1))
    house.put(row(2), seconds=-1)
    house.put(row(3))
    assert [answer.id for answer in house.step()] == [1, 3]


def test_halves_of_a_failed_batch_do_not_begin_after_their_deadlines() -> None:
    calls: list[int] = []

    def slow(data: Any, params: Any) -> Any:
        calls.append(len(data))
        if len(data) == 5:
            time.sleep(0.3)
            raise ValueError("together")
        return data["x"].to_numpy()

    house = House(animal(slow), batching="on")
    calls.clear()
    for number in range(5):
        house.put(row(number), seconds=30 if number == 4 else 0.2)  # the batch's limit is that of the last
    outcomes = [answer.outcome for answer in house.step()]
    assert outcomes[:2] == [wire.TIMED_OUT] * 2
    assert outcomes[4] == wire.OK
    assert calls[0] == 5


def test_what_is_looked_at_again_is_not_held_to_a_deadline_that_has_passed() -> None:
    house = House(animal(zoo.linear))
    house.put(row(1), seconds=0.05)
    [waiting] = house.batcher.take(house.queue, time.monotonic())
    assert house.batcher.answer([waiting])[0].outcome == wire.OK
    waiting.deadline = time.monotonic() - 1
    assert house.batcher.answer([waiting])[0].outcome == wire.TIMED_OUT
    assert house.batcher.answer_alone(waiting).outcome == wire.OK
    assert house.batcher.answer_by_stock_path(waiting).outcome == wire.OK
