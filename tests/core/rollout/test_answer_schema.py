"""The schema of answers: fields and data, what is otherwise in another version's, and how large it may become."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.rollout.test_comparison import JSON
from tests.draws import examples
from tidegate.core.rollout.answer_schema import MOST_PLACES, Schema, Sketch, changes, joined, loosened

KINDS = st.sampled_from(["boolean", "integer", "float", "string", "null", "array", "object"])
SCHEMAS: st.SearchStrategy[Schema] = st.dictionaries(
    st.sampled_from(["the answer", "a", "b", "a[]"]), st.frozensets(KINDS, min_size=1)
)


def schema_of(answer: Any) -> Schema:
    """The schema of one answer."""
    sketch = Sketch()
    sketch.add(answer)
    return sketch.schema()


def test_the_schema_has_the_types_at_each_place() -> None:
    answer = {"predictions": [{"score": 1.5, "label": "a"}, {"score": None, "label": "b"}], "n": 2, "ok": True}
    assert schema_of(answer) == {
        "the answer": {"object"},
        "predictions": {"array"},
        "predictions[]": {"object"},
        "predictions[].score": {"float", "null"},
        "predictions[].label": {"string"},
        "n": {"integer"},
        "ok": {"boolean"},
    }


def test_the_keys_of_a_large_object_are_data() -> None:
    fields = {str(number): 1.5 for number in range(64)}
    assert len(schema_of({"p": fields})) == 66
    assert schema_of({"p": {**fields, "64": 1}})["p.*"] == {"float", "integer"}
    assert changes(schema_of({"p": {**fields, "a": 1.5}}), schema_of({"p": {**fields, "b": 1.5}})) == []


@pytest.mark.parametrize(
    ("before", "after", "phrases"),
    [
        ({"a": 1.5, "b": 1}, {"a": 1.5}, ["b is gone"]),
        ({"a": 1.5}, {"a": 1.5, "b": 1}, ["b is new (integer)"]),
        ({"a": 1.5}, {"a": 1.5, "b": None}, ["b is new"]),
        ({"a": 1.5}, {"a": "x"}, ["a is string instead of float"]),
        ({"a": [1.5, "x"]}, {"a": [1.5, True]}, ["a[] is boolean or float instead of float or string"]),
        ({"a": [1.5, "x"]}, {"a": [1.5, 2.5]}, []),  # fewer types break nobody
        ({"a": 1.5}, {"a": None}, []),  # a missing value is not the schema's matter
        ({"a": None}, {"a": 1.5}, []),
        ([1.5], {"a": 1.5}, ["[] is gone", "a is new (float)", "the answer is object instead of array"]),
    ],
)
def test_what_is_otherwise_is_named(before: object, after: object, phrases: list[str]) -> None:
    assert changes(schema_of(before), schema_of(after)) == phrases


@given(SCHEMAS)
def test_a_schema_is_like_itself(schema: Schema) -> None:
    assert changes(schema, schema) == []
    assert joined(schema, schema) == joined(schema, {}) == schema


@given(SCHEMAS, SCHEMAS, SCHEMAS)
def test_schemas_are_joined_in_any_order(one: Schema, two: Schema, three: Schema) -> None:
    assert joined(one, two) == joined(two, one)
    assert joined(joined(one, two), three) == joined(one, joined(two, three))
    assert not any("instead" in phrase for phrase in changes(joined(one, two), one))


@given(JSON)
def test_what_is_exact_has_the_same_schema(answer: object) -> None:
    schema = schema_of(answer)
    assert changes(schema, schema_of(answer)) == []
    assert all(kinds for kinds in schema.values())


# --- lengths


def sketched(*answers: object) -> Sketch:
    """What is seen of these answers."""
    sketch = Sketch()
    for answer in answers:
        sketch.add(answer)
    return sketch


def rows(*rows: object) -> dict[str, object]:
    """An answer."""
    return {"predictions": list(rows)}


def otherwise(before: list[object], after: list[object]) -> list[str]:
    """What is otherwise in the answers after."""
    one, other = sketched(*before), sketched(*after)
    return changes(one.schema(), other.beside(one))


@pytest.mark.parametrize(
    ("before", "after", "phrases"),
    [
        ([[0.1, 0.2, 0.3]], [[0.1, 0.2]], ["[] is array[2] instead of array[3]"]),
        (rows([0.1, 0.2, 0.3]), rows([0.1, 0.2]), ["predictions[] is array[2] instead of array[3]"]),
        (rows([1, 2], [3, 4]), rows([1, 2], [3]), ["predictions[] is array instead of array[2]"]),
        (rows([1, 2]), rows([1, 2], [3, 4]), []),  # how many rows there are is told elsewhere
        (rows([[1], [2]]), rows([[1]]), ["predictions[] is array[1] instead of array[2]"]),
        (rows([1, 2], [3]), rows([1, 2, 3]), []),  # of any length before
        (rows([]), rows([1]), ["predictions[][] is new (integer)"]),
        (
            {"predictions": {"v": [1, 2]}},
            {"predictions": {"v": [1]}},
            ["predictions.v is array[1] instead of array[2]"],
        ),
    ],
)
def test_a_length_that_never_changed_is_of_the_schema(before: object, after: object, phrases: list[str]) -> None:
    assert otherwise([before], [after]) == changes(schema_of(before), schema_of(after)) == phrases


def test_lists_of_several_lengths_have_any() -> None:
    one, other = schema_of(rows([1, 2])), schema_of(rows([1]))
    assert joined(one, other)["predictions[]"] == {"array"}
    assert sketched(rows([1, 2]), rows([1])).schema() == joined(one, other)
    assert changes(joined(one, other), schema_of(rows([1, 2, 3]))) == []


def test_in_few_answers_only_the_lengths_of_lists_of_numbers_count() -> None:
    numbers, tags = schema_of(rows([0.5, None])), schema_of(rows(["a", "b"]))
    assert loosened(numbers) == numbers
    assert loosened(tags) == {**tags, "predictions[]": {"array"}}
    assert loosened(schema_of(rows([{"a": 1}])))["predictions[]"] == {"array"}


# --- maps


def test_where_no_answer_has_all_keys_they_are_data() -> None:
    before: list[object] = [rows({"item1": 0.5, "item2": 0.3}), rows({"item1": 0.5, "item3": 0.3})]
    assert sketched(*before).schema()["predictions[].*"] == {"float"}
    assert otherwise(before, [rows({"item1": 0.5, "item4": 0.1}), rows({"item5": 0.1})]) == []
    assert otherwise(before, [rows({"item1": "high"})]) == ["predictions[].* is string instead of float"]
    assert otherwise([rows({"a.b": 1}, {"c[]": 1})], [rows({"d.": 1})]) == []


def test_a_field_that_is_not_in_all_answers_stays_a_field() -> None:
    before: list[object] = [rows({"label": "a", "score": 1.5}), rows({"label": "a", "score": 1.5, "note": "x"})]
    assert otherwise(before, [rows({"label": "a", "score": 1.5})]) == ["predictions[].note is gone"]
    assert otherwise(before, [rows({"label": "a", "note": "x"})]) == ["predictions[].score is gone"]


def test_maps_are_seen_in_maps_and_over_all_of_their_objects() -> None:
    before: list[object] = [rows({"u1": {"i1": 1}}), rows({"u2": {"i2": 1}})]
    assert set(sketched(*before).schema()) == {
        "the answer", "predictions", "predictions[]", "predictions[].*", "predictions[].*.*",
    }  # fmt: skip
    assert otherwise(before, [rows({"u3": {"i3": 1}})]) == []


def test_an_answer_that_is_a_map_itself() -> None:
    assert otherwise([{"a": 1}, {"b": 1}], [{"c": 1}]) == []


def test_of_two_gateways_one_may_have_seen_that_it_is_a_map() -> None:
    seen, unseen = sketched({"p": {"a": 1}}, {"p": {"b": 1}}), sketched({"p": {"a": 1}})
    after = joined(sketched({"p": {"c": 1}}).beside(seen), sketched({"p": {"d": 1}}).beside(unseen))
    assert changes(joined(seen.schema(), unseen.schema()), after) == []


# --- bounds


def test_a_schema_has_a_bound_however_many_keys_there_are() -> None:
    wide = {f"a{one}": {f"b{two}": {f"c{three}": 1 for three in range(9)} for two in range(9)} for one in range(60)}
    sketch = sketched(*({**wide, f"x{number}": {"y" * 10_000: 1}} for number in range(20)))
    schema = sketch.schema()
    assert len(schema) <= MOST_PLACES
    assert max(map(len, schema)) < 300
    after = sketched({f"n{number}": {f"m{other}": 1 for other in range(60)} for number in range(60)}, wide)
    assert len(after.beside(sketch)) <= 2 * MOST_PLACES
    assert otherwise([wide], [wide]) == []


def test_a_new_versions_schema_has_a_bound_too() -> None:
    fields = {f"f{one}": {f"g{two}": 1 for two in range(15)} for one in range(50)}
    before, after = sketched({"p": 1}), sketched({"p": 1, **fields})
    told = after.beside(before)
    assert len(told) == 2 + MOST_PLACES
    assert changes(before.schema(), told)


def test_however_deep_an_answer_is_it_is_looked_at() -> None:
    deep: object = 1
    for _ in range(400):
        deep = [{"k": deep}]
    assert 10 < len(schema_of(deep)) < 40
    assert changes(schema_of(deep), schema_of(deep)) == []


@settings(max_examples=examples(40))
@given(st.lists(JSON, min_size=1, max_size=5))
def test_the_same_answers_are_alike(answers: list[object]) -> None:
    assert otherwise(answers, answers) == []
    one = sketched(*answers).schema()
    assert one == sketched(*answers[::-1]).schema()
