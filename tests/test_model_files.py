"""The bounds on the files of a model that control reads. Time is not measured: what is refused is never built."""

from pathlib import Path

import pytest
import yaml

from tidegate import bounded_text
from tidegate.bounded_text import text_of
from tidegate.core.errors import BuildFailed
from tidegate.model_files import MAX_VALUES, NotYaml, TooManyValues, load_texts, mapping_of


def test_scalars_are_texts_with_and_without_a_tag() -> None:
    text = "a: 3.10\nb: null\nc: yes\nd: !!int 1:1:1\ne: !!timestamp x\nf: [2024-01-01, !!float '1']\n"
    assert load_texts(text) == {
        "a": "3.10",
        "b": None,
        "c": "yes",
        "d": "1:1:1",
        "e": "x",
        "f": ["2024-01-01", "1"],
    }


MERGES = "m0: &m0 {a: 1, b: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [{'*m' + str(n - 1)}, *m0]}}\n" for n in range(1, 4))


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 60_000 + "]" * 60_000, "- " * 60_000, "? " * 60_000),  # libyaml ended the process here
        *(MERGES, "m0: &m0 {a: 1}\nm1: {!!merge x: *m0}\n", "%TAG !a! b\n--- a\n", "# a\n%YAML 1.1\n--- a\n"),
        *("a: \ud800\n", "a: \0\n", "a: !!python/object:os.system x\n", "a: 1\n--- b\n"),
    ],
)
def test_what_costs_more_than_it_says_is_refused(text: str) -> None:
    with pytest.raises(NotYaml):
        load_texts(text)


@pytest.mark.parametrize("one", ["a,", "[],", "*x,", "{},"])
def test_values_are_counted_before_any_is_built(one: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few = load_texts(f"x: &x 1\ny: [{one * (MAX_VALUES - 10)}]\n")
    assert len(few["y"]) == MAX_VALUES - 10
    monkeypatch.setattr(yaml, "load", lambda *_: 1 / 0)
    with pytest.raises(TooManyValues):
        load_texts(f"x: &x 1\ny: [{one * MAX_VALUES}]\n")


def test_a_signature_of_many_columns_is_one_value(tmp_path: Path) -> None:
    columns = '{"type": "double", "name": "a long name of a column"}, ' * 50_000
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"signature": {"inputs": columns}}))
    assert mapping_of(tmp_path / "MLmodel") == {"signature": {"inputs": columns}}


def test_each_bound_is_said(tmp_path: Path) -> None:
    path = tmp_path / "conda.yaml"
    path.write_text("[" + "a," * MAX_VALUES + "]")
    with pytest.raises(BuildFailed, match=r"'conda.yaml' has more than 20,000 values"):
        mapping_of(path)
    with pytest.raises(BuildFailed, match=r"has more than 8 KiB"):
        mapping_of(path, 8 * 2**10)
    path.write_bytes(b"a" * (bounded_text.MAX_TEXT_BYTES + 1))
    with pytest.raises(BuildFailed, match=r"has more than 16 MiB"):
        text_of(path)
