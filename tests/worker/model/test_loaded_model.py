"""One request in, one answer out; whose fault it was; and the proof before the first."""

import json
import sys
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import Model as Metadata
from mlflow.models import ModelSignature

from tests.worker import signatures
from tests.worker.echo import echo, echo_model
from tidegate_worker.ipc import wire
from tidegate_worker.model import accelerators
from tidegate_worker.model.accelerators import Json
from tidegate_worker.model.loaded_model import MAX_MESSAGE, Model, exception_text
from tidegate_worker.model.readiness import NotProved, Proof, answer_example, answer_made_up
from tidegate_worker.model.sample_requests import sample_body
from tidegate_worker.output import encoder

SECRET = "s3cr3t-value"


class Scripted:
    """A model that does what it is made with."""

    def __init__(self, act: Any) -> None:
        self._act = act

    def predict(self, data: Any) -> Any:
        return self._act(data)


def prove(model: Model, model_dir: str) -> Proof:
    return (answer_example(model, model_dir) or answer_made_up(model, model_dir)).proof


def scripted(act: Any, signature: ModelSignature | None = signatures.OPTIONAL) -> Model:
    metadata = Metadata(signature=signature, flavors={"python_function": {"loader_module": "scripted"}})
    return Model(mlflow.pyfunc.PyFuncModel(metadata, Scripted(act)))


def ask(model: Model, payload: Any) -> wire.Answer:
    meta = wire.pack_meta([("content-type", "application/json"), ("request-id", "r-17")])
    return model.answer(wire.Request(1, 1000, 0, meta, json.dumps(payload).encode()))


ROW = {"inputs": {"x": [1.5]}}


def fail(error: BaseException) -> Any:
    def act(_data: Any) -> Any:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyError("age"), "KeyError: 'age'"),
        (MlflowException("from the model"), "MlflowException: from the model"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
def test_what_a_model_raises_is_its_own_fault(
    error: BaseException, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = ask(scripted(fail(error)), ROW)
    assert (answer.outcome, answer.body.decode()) == (wire.MODEL_ERROR, sentence)
    logged = capsys.readouterr().err
    assert f"request r-17: {sentence}" in logged
    assert "Traceback" in logged
    assert "in act" in logged


def test_a_long_message_is_cut() -> None:
    text = exception_text(ValueError("x" * 10_000))
    assert text == "ValueError: " + "x" * MAX_MESSAGE + " …"


def test_an_output_that_raises_when_it_is_read_is_a_bad_output() -> None:
    class Lazy(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            raise RuntimeError("not computed")

    answer = ask(scripted(lambda _data: Lazy()), ROW)
    assert answer.outcome == wire.BAD_OUTPUT
    assert answer.body.decode() == "The model's output cannot be written as JSON: RuntimeError: not computed"


def test_a_defect_of_the_worker_is_called_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_arguments: Any) -> Any:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr("tidegate_worker.input.decoder.decode", broken)
    answer = ask(echo_model(None), ROW)
    assert answer.outcome == wire.INTERNAL
    assert SECRET not in answer.body.decode()
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"id": 1, "tags": SECRET, "item": {"name": "x"}}, 'row 2, column "tags": expected Array(string).'),
        ({"id": 1, "tags": [], "item": {"name": "x", SECRET: 1}}, 'row 2, column "item": expected '),
        ({"id": 1, "tags": [], "item": {"name": "x"}, "counts": {"k": SECRET}}, 'row 2, column "counts": expected '),
        ({"id": SECRET, "tags": [], "item": {"name": "x"}}, 'row 2, column "id": expected long, found a string.'),
    ],
)
def test_a_misfit_inside_a_compound_column_is_found(record: Any, sentence: str) -> None:
    good = {"id": 1, "tags": [], "item": {"name": "x"}, "counts": {}}
    answer = ask(echo_model(signatures.COMPOUND), {"dataframe_records": [good, record]})
    assert answer.outcome == wire.BAD_REQUEST
    assert sentence in answer.body.decode()
    assert SECRET not in answer.body.decode()


# --- models whose type hints are their signature ---


class Hinted(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def predict(self, model_input: list[dict[str, int]], params: Any = None) -> Any:
        return [sum(item.values()) for item in model_input]


@pytest.fixture(scope="module")
def hinted(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("hinted") / "m"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, on saving without an example
        mlflow.pyfunc.save_model(folder, python_model=Hinted(), pip_requirements=["mlflow"])
        return Model.load(str(folder))


def test_type_hints_take_the_data_as_it_came(hinted: Model) -> None:
    answer = ask(hinted, {"inputs": [{"a": 1, "b": 2}, {"a": 5}]})
    assert json.loads(answer.body) == {"predictions": [3, 5]}


@pytest.mark.parametrize("payload", [{"inputs": [{"a": SECRET}]}, {"inputs": SECRET}, {"instances": [{"a": 1}]}])
def test_type_hints_refuse_without_repeating(hinted: Model, payload: Any) -> None:
    answer = ask(hinted, payload)
    assert answer.outcome == wire.BAD_REQUEST
    assert SECRET not in answer.body.decode()


# --- the proof ---


def with_example(model: Model, load: Any) -> Model:
    """The model, as if it had been saved with an example that `load` reads."""
    metadata = SimpleNamespace(
        signature=model.pyfunc.metadata.signature,
        saved_input_example_info={"type": "dataframe"},
        load_input_example=load,
        load_input_example_params=lambda _path: {"scale": 2.0},
    )
    model.pyfunc = SimpleNamespace(metadata=metadata, predict=model.pyfunc.predict)
    return model


def test_the_input_example_proves_a_model() -> None:
    seen: list[Any] = []

    def act(data: Any) -> Any:
        seen.append(data)
        return [1]

    model = with_example(scripted(act), lambda _path: pd.DataFrame({"x": [1.5]}))
    assert prove(model, "m") == Proof("input_example")
    assert seen[0]["x"].tolist() == [1.5]


def test_the_examples_params_are_used() -> None:
    model = with_example(echo_model(signatures.MIXED), lambda _path: pd.DataFrame({"a": [1.5], "n": [1]}))
    given: list[Any] = []
    inner = model.pyfunc.predict

    def predict(data: Any, params: Any) -> Any:
        given.append(params)
        return inner(data, params)

    model.pyfunc.predict = predict
    assert prove(model, "m") == Proof("input_example")
    assert given == [{"scale": 2.0}]


@pytest.mark.parametrize("act", [fail(ValueError("no")), lambda _data: {1, 2}])
def test_a_model_that_cannot_answer_its_example_is_not_proved(act: Any) -> None:
    model = with_example(scripted(act), lambda _path: pd.DataFrame({"x": [1.5]}))
    with pytest.raises(NotProved, match=r"failed on its own input example: (ValueError: no|.*type set)"):
        prove(model, "m")


def test_an_example_that_cannot_be_read_is_a_warning() -> None:
    model = with_example(scripted(lambda _data: [1]), fail(FileNotFoundError("gone")))
    assert prove(model, "m") == Proof(
        "signature", "The saved input example could not be read: FileNotFoundError: gone."
    )


@pytest.mark.parametrize("name", ["MIXED", "EVERY_KIND", "OPTIONAL", "UNNAMED", "SINGLE", "COMPOUND"])
def test_a_row_made_from_columns_fits_them(name: str) -> None:
    assert prove(echo_model(getattr(signatures, name)), "m") == Proof("signature")


@pytest.mark.parametrize("name", ["TENSOR", "TENSOR_INT", "TENSORS", "IMAGE"])
def test_a_row_made_from_tensors_fits_them(name: str) -> None:
    assert prove(echo_model(getattr(signatures, name)), "m") == Proof("signature")


def test_a_row_made_from_type_hints_fits_them(hinted: Model) -> None:
    assert sample_body(hinted.signature) == {"inputs": [{"key": 0}]}
    assert prove(hinted, "m") == Proof("signature")


def test_a_made_up_row_that_the_model_refuses_is_a_warning() -> None:
    proof = prove(scripted(fail(ValueError("no zeros"))), "m")
    assert proof.example == "none"
    assert proof.warning.endswith("failed on a row made from its signature: ValueError: no zeros")


def test_without_a_signature_nothing_is_proved() -> None:
    proof = prove(scripted(lambda _data: [1], None), "m")
    assert proof == Proof("none", "Nothing was predicted: the model has no input example and no signature.")


# --- accelerators ---


@pytest.mark.parametrize(
    ("version", "note"),
    [
        ("0.17.0", "off: msgspec 0.17.0 is not tested"),
        ("1.0.0", "off: msgspec 1.0.0 is not tested"),
        ("", "off: msgspec of an unknown version is not tested"),
        (None, "off: msgspec is not installed"),
    ],
)
def test_msgspec_of_another_version_stays_off(version: str | None, note: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = None
    if version is not None:
        module = ModuleType("msgspec")
        module.__dict__["__version__"] = version
    monkeypatch.setitem(sys.modules, "msgspec", module)
    chosen = accelerators.fast_json()
    assert chosen == Json(json.loads, encoder.dumps, note)
    answer = ask(Model(echo(signatures.OPTIONAL), chosen), ROW)
    assert answer.outcome == wire.OK
