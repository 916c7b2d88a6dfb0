"""What one replica finds to be wrong, none of its revision goes on doing."""

import itertools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.worker import zoo
from tests.worker.queues import House, animal, request
from tidegate_worker.ipc import wire
from tidegate_worker.proof.kinds import Kind
from tidegate_worker.proof.refutations import BATCHING, KINDS, Refutation, Refutations
from tidegate_worker.proof.verdict import OFF, PROVED

NULLS = Refutation(KINDS, "they are filled in", frozenset({Kind("null", 3), Kind("params", "abc")}))


def test_everybody_reads_what_anybody_writes_once(tmp_path: Path) -> None:
    file = tmp_path / "r.refuted"
    one, other = Refutations(str(file)), Refutations(str(file))
    assert one.read_new(0.0) == []
    other.publish(NULLS)
    assert one.read_new(0.01) == []  # it looks now and then
    assert one.read_new(0.1) == [NULLS]
    one.publish(Refutation(BATCHING, "it depends"))
    assert one.read_new(0.2) == [Refutation(BATCHING, "it depends")]
    assert other.read_new(0.2) == [NULLS, Refutation(BATCHING, "it depends")]
    assert one.read_new(0.3) == other.read_new(0.3) == []
    assert Refutations("").read_new(9.0) == []


def test_what_cannot_be_understood_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "r.refuted"
    reader = Refutations(str(file))
    file.write_bytes(b'no json\n[]\n{"what": 1}\n{"what": "kinds", "reason": "", "kinds": 5}\n{"what": "batch')
    assert reader.read_new(0.0) == []
    with file.open("ab") as opened:
        opened.write(b'ing", "reason": "late", "kinds": []}\n')
    assert reader.read_new(1.0) == [Refutation(BATCHING, "late")]


def test_what_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Refutations(str(tmp_path / "none" / "r.refuted")).publish(NULLS)
    assert (
        "a refutation could not be written for the other replicas: No such file or directory" in capsys.readouterr().err
    )


def rows(count: int, n: int, text: str = "a") -> list[wire.Request]:
    numbers = itertools.count()
    return [request(next(numbers), {"inputs": {"x": [k / 30], "n": [n], "s": [text]}}) for k in range(count)]


def test_batching_ends_in_all_replicas(tmp_path: Path) -> None:
    file = str(tmp_path / "r.refuted")
    one, other = (House(animal(zoo.Turncoat()), refutations_file=file).warm() for _ in range(2))
    list(one.answers([*rows(4, 7), *rows(1, -7)]))
    list(one.answers(rows(8, -7)))
    assert one.batcher.serving.verdict.mode == OFF
    list(other.answers(rows(4, 7)))
    assert other.batcher.serving.verdict == one.batcher.serving.verdict
    later = House(animal(zoo.Turncoat()), refutations_file=file).warm()
    list(later.answers(rows(1, 7)))
    assert later.batcher.serving.verdict == one.batcher.serving.verdict


def test_kinds_end_in_all_replicas(tmp_path: Path) -> None:
    def counts(data: pd.DataFrame, params: Any) -> Any:
        return (data["n"] + data["s"].str.startswith("id-").sum()).to_numpy()

    file = str(tmp_path / "r.refuted")
    one, other = (House(animal(counts), refutations_file=file).warm() for _ in range(2))
    for number in range(20):
        list(one.answers(rows(1, number, f"id-{number}")))
    list(other.answers(rows(1, 7)))
    assert one.batcher.serving.verdict.refuted == other.batcher.serving.verdict.refuted
    assert ("text", 2) in one.batcher.serving.verdict.refuted
    assert other.batcher.serving.verdict.mode == PROVED
