"""Each request gets the answer that it would get by itself, whatever the other rows in its batch are."""

import json
import math
import os
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.worker import accidents, zoo
from tests.worker.forms import form
from tests.worker.queues import House, animal, request
from tidegate_worker.fast.parser import Parsed
from tidegate_worker.input.signature import Column, Signature, Tensor
from tidegate_worker.ipc import wire
from tidegate_worker.output import equality
from tidegate_worker.proof.batch_admission import Admission
from tidegate_worker.proof.coverage import Coverage, apply_to, of_real
from tidegate_worker.proof.kinds import Kind
from tidegate_worker.proof.text_digests import digest, digest_of_params
from tidegate_worker.proof.verdict import OFF, PROVED, Verdict
from tidegate_worker.startup import serving

WORDS = ["a", "b", "ü", ""]
MODELS = {**accidents.ACCIDENTS, **{name: zoo.ROW_WISE[name] for name in ("linear", "frame", "texts", "objects")}}
BURST = 40


def example(rows: int) -> pd.DataFrame | None:
    """An input example of so many rows, without a null and with few texts."""
    numbers = range(rows)
    return pd.DataFrame(
        {"x": [1.5 + n for n in numbers], "n": [n * 7 % 11 for n in numbers], "s": [WORDS[n % 4] for n in numbers]}
    )


def house_of(function: zoo.Function, rows: int, monkeypatch: pytest.MonkeyPatch) -> House:
    given = ((example(rows), None), "") if rows else (None, "")
    monkeypatch.setattr(serving, "input_example", lambda *_: given)
    return House(animal(function))


# Most callers send the same category.
SKEWED = [1, 1, 1, 30]


def columns(source: random.Random) -> dict[str, list[Any]]:
    """A request's columns: one row or a few, with nulls, unseen texts, whole and large numbers now and then."""
    rows = 1 if source.random() < 0.8 else source.randint(2, 5)

    def x() -> float | None:
        return None if source.random() < 0.1 else source.choice([source.uniform(-9, 9), float(source.randint(-3, 3))])

    def s() -> str | None:
        if source.random() < 0.05:
            return None
        return source.choices(WORDS, SKEWED)[0] if source.random() < 0.8 else f"unseen {source.randrange(10**6)}"

    return {
        "x": [x() for _ in range(rows)],
        "n": [source.randint(-50, 50) * (1 if source.random() < 0.98 else 10**4) for _ in range(rows)],
        "s": [s() for _ in range(rows)],
    }


def answers(house: House, requests: list[wire.Request]) -> dict[int, wire.Answer]:
    return {answer.id: answer for answer in house.answers(requests)}


def check(name: str, rows: int, count: int, monkeypatch: pytest.MonkeyPatch) -> House:
    """Send so many requests, up to 64 at once: each must get the model's answer to it alone."""
    house, source = house_of(MODELS[name], rows, monkeypatch), random.Random(f"{name} {rows}")
    alone = House(animal(MODELS[name]), batching="off")
    while count > 0:
        burst = min(count, source.randint(2, 64))
        requests, count = [request(number, form(columns(source), source)) for number in range(burst)], count - burst
        found, expected = answers(house, requests), answers(alone, requests)
        assert len(found) == burst
        for number, answer in found.items():
            told = house.batcher.serving.verdict, requests[number].body, answer.body, expected[number].body
            assert answer.outcome == expected[number].outcome, told
            if answer.outcome == wire.OK:
                one, other = json.loads(answer.body), json.loads(expected[number].body)
                assert equality.compare(one, other, equality.DOUBLE).same, told
    return house


@pytest.mark.parametrize("name", MODELS)
def test_every_caller_gets_the_answer_that_it_would_get_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(name, random.Random(name).choice([0, 1, 2, 20]), 230, monkeypatch)


@pytest.mark.acceptance
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rows", [0, 1, 2, 20])
@pytest.mark.parametrize("name", MODELS)
def test_every_caller_gets_it_at_full_size(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    share = math.ceil(int(os.environ.get("TIDEGATE_ZOO_REQUESTS", "1000000")) / len(MODELS) / 4)
    house = check(name, rows, share, monkeypatch)
    verdict, together = house.batcher.serving.verdict, sum(size for size in house.sizes if size > 1)
    print(
        f"FIGURE {name}, example of {rows}: {share:,} requests, 0 other answers, {together:,} of them in batches; "
        f"{verdict.mode} {verdict.reason}; alone: {', '.join(verdict.alone) or 'none'}"
    )


@pytest.mark.parametrize("name", accidents.STATEFUL)
def test_what_remembers_is_never_batched(name: str) -> None:
    house = House(animal(accidents.STATEFUL[name]())).warm()
    assert house.batcher.serving.verdict.mode == OFF
    assert not house.batcher.serving.verdict.thin


@pytest.mark.parametrize("rows", [0, 1, 2, 20])
@pytest.mark.parametrize("name", ["linear", "frame", "texts", "objects"])
def test_row_wise_models_are_batched_whatever_their_example(
    name: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, source = house_of(zoo.ROW_WISE[name], rows, monkeypatch), random.Random(1)
    assert house.batcher.serving.verdict.thin

    def some(count: int) -> list[wire.Request]:
        return [
            request(n, {"inputs": {"x": [source.uniform(-9, 9)], "n": [n], "s": [source.choice(WORDS)]}})
            for n in range(count)
        ]

    answers(house, some(60))
    assert house.batcher.serving.verdict.mode == PROVED
    answers(house, some(60))
    assert max(house.sizes) > 8


def test_what_is_not_covered_is_told_and_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    house = house_of(accidents.impute_mean, 20, monkeypatch).warm()
    verdict = house.batcher.serving.verdict
    assert (verdict.mode, verdict.exact, ("null", 0) in verdict.refuted) == (PROVED, True, True)
    assert verdict.alone[0] == 'null in "x"'
    usual = [request(number, {"inputs": {"x": [float(number)], "n": [1], "s": ["a"]}}) for number in range(6)]
    null = request(6, {"inputs": {"x": [None], "n": [1], "s": ["a"]}})
    far = request(7, {"inputs": {"x": [1e9], "n": [1], "s": ["a"]}})
    found = answers(house, [*usual[:3], null, far, *usual[3:]])
    assert house.sizes == [6, 1, 1]
    assert json.loads(found[6].body) == {"predictions": [0.5]}


def with_ids(count: int) -> list[wire.Request]:
    """Requests with a usual text, and others with one of their own."""
    texts = [*("ab"[n % 2] for n in range(count)), *(f"id-{n}" for n in range(count))]
    return [request(n, {"inputs": {"x": [n / 30], "n": [n], "s": [text]}}) for n, text in enumerate(texts)]


def test_what_was_not_covered_is_once_real_rows_have_proved_it() -> None:
    house = House(animal(zoo.linear)).warm()
    assert 'another text than the proof had in "s"' in house.batcher.serving.verdict.alone
    answers(house, with_ids(40))
    assert max(house.sizes) > 8
    assert house.sizes.count(1) >= 8
    house.sizes.clear()
    answers(house, with_ids(30))
    assert len(house.sizes) < 30


def test_numbers_beyond_the_range_extend_it() -> None:
    house = House(animal(zoo.linear)).warm()
    far = [request(n, {"inputs": {"x": [1000.0 + n], "n": [10**6 * n], "s": ["a"]}}) for n in range(60)]
    answers(house, far)
    house.sizes.clear()
    answers(house, far[:8])
    assert len(house.sizes) < 8


def test_rows_that_turn_out_to_depend_on_others_go_alone_for_good() -> None:
    def counts(data: pd.DataFrame, params: Any) -> Any:
        return (data["n"] + data["s"].str.startswith("id-").sum()).to_numpy()

    house, requests = House(animal(counts)).warm(), with_ids(70)
    for _ in range(2):
        found = answers(house, requests)
        told = [json.loads(found[n].body)["predictions"] for n in range(140)]
        assert told == [*([n] for n in range(70)), *([n + 1] for n in range(70, 140))]
    verdict = house.batcher.serving.verdict
    assert (verdict.mode, ("text", 2) in verdict.refuted) == (PROVED, True)
    assert max(house.sizes) > 8


def test_a_kind_that_is_found_wrong_live_goes_alone_and_is_named() -> None:
    def late(data: pd.DataFrame, params: Any) -> Any:
        texts = data["s"].fillna("")
        return (data["x"] + (1.0 if len(data) > 1 and (texts == "id-9").any() else 0.0)).to_numpy()

    house = House(animal(late)).warm()
    for turn in range(10, 70):
        answers(house, [request(1, {"inputs": {"x": [0.5], "n": [1], "s": [f"id-{turn}"]}})])
    wrong = [request(n, {"inputs": {"x": [0.5], "n": [1], "s": [f"id-{n}"]}}) for n in (9, 71, 72)]
    answers(house, wrong)
    verdict = house.batcher.serving.verdict
    assert verdict.mode == PROVED
    assert verdict.reason.startswith('rows with another text than the proof had in "s" are predicted')
    assert verdict.reason.endswith(" such answers had gone out in batches")
    found = answers(house, wrong)
    assert [json.loads(found[n].body)["predictions"] for n in (9, 71, 72)] == [[0.5]] * 3


def test_how_soon_a_fault_is_found_is_told() -> None:
    house = House(animal(zoo.linear)).warm()
    for _ in range(20):
        answers(house, [request(n, {"inputs": {"x": [n / 60], "n": [1], "s": ["a"]}}) for n in range(60)])
    assert house.batcher.serving.verdict.found_within > 4605  # as many as where each answer were looked at


@pytest.mark.parametrize("by_column", [False, True])
def test_the_rows_of_a_request_are_looked_at(by_column: bool) -> None:
    admission = Admission(Verdict(PROVED, nulls=(0,), texts=((2, (digest("a"), digest("b"))),)))

    def takes(*rows: tuple[Any, ...]) -> bool:
        data = tuple(map(list, zip(*rows, strict=True))) if by_column else list(rows)
        return admission.takes(Parsed(data, len(rows), by_column=by_column))

    assert takes((1.0, None, "a"), (2.0, None, "b"))
    assert takes((1.0, 1, None))
    assert not takes((1.0, 1, "a"), (None, 1, "a"))
    assert not takes((1.0, 1, "a"), (1.0, 1, "c"))
    assert Admission(Verdict(PROVED)).takes(Parsed([(None, None, "c")], 1))


ODD: dict[str, tuple[zoo.Function, str, str]] = {
    "dates in the format of the first": (
        lambda data, params: [str(one) for one in pd.to_datetime(data["s"], errors="coerce")],
        "20{:02}-01-02",
        "11/27/2023",
    ),
    "numbers where all are": (
        lambda data, params: (data["s"].astype(int) if data["s"].str.isdigit().all() else data["s"]).tolist(),
        "780{:02}",
        "N/A",
    ),
    "the last part of all": (
        lambda data, params: data["s"].str.split("-", expand=True).iloc[:, -1].fillna("").tolist(),
        "a-{}",
        "a-b.c-d",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_a_text_of_another_shape_changes_nobodys_answer(name: str) -> None:
    function, usual, odd = ODD[name]
    house, alone = House(animal(function)), House(animal(function), batching="off")

    def some(count: int, *more: str) -> list[wire.Request]:
        texts = [*(usual.format(n % 90 + 10) for n in range(count)), *more]
        return [request(n, {"inputs": {"x": [n / 9], "n": [n], "s": [text]}}) for n, text in enumerate(texts)]

    answers(house, some(90))
    assert not house.batcher.serving.verdict.thin
    for _ in range(3):
        burst = some(20, odd)
        found, expected = answers(house, burst), answers(alone, burst)
        assert {n: found[n].body for n in found} == {n: expected[n].body for n in expected}


def test_texts_are_told_by_their_shape() -> None:
    signature, dates = Signature((Column("s", "string", True, None),)), [f"20{n:02}-01-02" for n in range(30)]

    def takes(*texts: str) -> Admission:
        covered = of_real(signature, [Parsed([(text,) for text in texts], len(texts))])
        return Admission(apply_to(Verdict(PROVED), signature, covered._replace(params=None)))

    few, many = takes(*dates[:23]), takes(*dates)
    assert few.takes(Parsed([(dates[0],)], 1))
    assert not few.takes(Parsed([("1999-12-31",)], 1))
    assert many.takes(Parsed([("1999-12-31",)], 1))
    assert not many.takes(Parsed([("31/12/1999",)], 1))


def test_a_tensors_numbers_have_a_range() -> None:
    signature = Signature(tensors=(Tensor("t", np.dtype("float64"), (-1, 2)),))
    covered = of_real(signature, [Parsed([[0.0, 1.0]], 1), Parsed([[-2.0, 0.5]], 1)])
    admission = Admission(apply_to(Verdict(PROVED), signature, covered))
    assert admission.takes(Parsed([[1.0, -2.0]], 1))
    assert admission.kinds(Parsed([[1.0, 255.0]], 1)) == {Kind("number", -1)}
    assert admission.takes(Parsed([[]], 1))


def test_numbers_and_params_are_looked_at() -> None:
    known = tuple(digest_of_params(Parsed([], 0, params=params)) for params in (b"", b"{}"))
    admission = Admission(Verdict(PROVED, ranges=((0, -1.0, 2.0),), params=known))
    assert admission.takes(Parsed([(2.0,), (None,), (-1.0,)], 3))
    assert not admission.takes(Parsed([(2.0,), (2.5,)], 2))
    assert admission.takes(Parsed([(2.0,)], 1, params=b"{}"))
    other = Parsed([(9,)], 1, params=b"[]")
    assert admission.kinds(other) == {Kind("number", 0), Kind("params", digest_of_params(other))}


def test_of_many_columns_some_are_named() -> None:
    def alone(*columns: Column) -> Any:
        return apply_to(Verdict(PROVED), Signature(columns), Coverage(params=None)).alone

    said = alone(*(Column(f"x{at}", "double", True, None) for at in range(600)))
    assert (said[0], said[-1], len(said)) == ('null in "x0"', "and 580 more", 21)
    assert alone(Column(None, "long", True, None), Column(None, "double", True, None)) == ("null in column 2",)
