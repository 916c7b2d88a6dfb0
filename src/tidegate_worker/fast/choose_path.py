"""Which path serves a model, and in which form of input: the cheapest that gives what the stock path gives."""

import json
import time
import warnings
from itertools import islice
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from tidegate_worker.fast.layouts import BlockLayout, TensorLayout
from tidegate_worker.fast.parser import NotCompiled, Parsed
from tidegate_worker.fast.scorer import DATAFRAME, NDARRAY, PYFUNC, Scorer
from tidegate_worker.input import decoder
from tidegate_worker.input.signature import NULLABLE
from tidegate_worker.model import sample_requests
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.model.readiness import WIDE
from tidegate_worker.output import encoder, equality
from tidegate_worker.process.log import log_exception

COMPILED, STOCK = "compiled", "stock"
KEPT, IGNORED = "kept", "ignored"

# Flavors whose models take rows by position: an array may do. A model of the user's own reads what it likes.
_BY_POSITION = frozenset({"mlflow.sklearn", "mlflow.lightgbm", "mlflow.xgboost"})
_ROWS = 8
_SINGLES = 4
_SECONDS = 2.0


class Path(NamedTuple):
    """What serves. `mode` is compiled or stock, `input` the form given to the model, `reason` why no better one.

    `row_labels`: whether a request with an `index` of its own is compiled too, as the model ignores it.
    """

    mode: str
    input: str
    reason: str = ""
    row_labels: str = KEPT


def choose(model: Model, example: Any = None) -> Tuple[Optional[Scorer], Path]:
    """The compiled path where it can be proved to be the stock path's equal. `example` is the model's input example."""
    try:
        scorer = _compile(model)
        requests = list(islice(sample_requests.requests(model.signature, example), _rows(model)))
        path = _prove(scorer, requests)
    except NotCompiled as error:
        return None, Path(STOCK, PYFUNC, str(error))
    except Exception as error:  # a model that works must not be kept from serving by what only makes it faster
        log_exception("the compiled path could not be tried", error)
        return None, Path(STOCK, PYFUNC, f"the compiled path could not be tried ({type(error).__name__})")
    return _in_force(scorer, path)


def choose_unasked(model: Model, reason: str) -> Tuple[Optional[Scorer], Path]:
    """The compiled path without a prediction: no form of input but the one that is the stock path's own."""
    try:
        scorer = _compile(model)
        requests = list(islice(sample_requests.requests(model.signature, None), _rows(model)))
        _compare_reading(scorer, requests)
        same_given = _same_given(scorer, requests)
    except Exception as error:
        return None, Path(STOCK, PYFUNC, str(error) if isinstance(error, NotCompiled) else reason)
    if not same_given:
        return _in_force(scorer, Path(COMPILED, PYFUNC, "MLflow's own checks change what the model is given"))
    form = NDARRAY if isinstance(scorer.layout, TensorLayout) else DATAFRAME
    return _in_force(scorer, Path(COMPILED, form, reason))


def recall(model: Model, recorded: Path) -> Tuple[Optional[Scorer], Path]:
    """The path that was proved at an earlier start of the same revision."""
    if recorded.mode != COMPILED:
        return None, recorded
    try:
        return _in_force(_compile(model), recorded)
    except NotCompiled as error:
        return None, Path(STOCK, PYFUNC, str(error))


def _in_force(scorer: Scorer, path: Path) -> Tuple[Scorer, Path]:
    scorer.form = path.input
    scorer.parser.any_labels = path.row_labels == IGNORED
    if path.input == NDARRAY:
        # The array has no names on purpose: it was proved that the model needs none.
        warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)
    return scorer, path


def _rows(model: Model) -> int:
    """How many rows are made up: a table of many columns has many values in two, and MLflow takes 40 us for each."""
    return 2 if _is_wide(model) else _ROWS


def _is_wide(model: Model) -> bool:
    return len(model.signature.columns) > WIDE


def _compile(model: Model) -> Scorer:
    if model.json.decode is json.loads:
        raise NotCompiled(f"fast JSON is {model.json.note}")
    metadata = model.pyfunc.metadata
    from_example = getattr(metadata, "_is_type_hint_from_example", None)
    if model.signature.from_type_hint or (from_example is not None and from_example()):
        raise NotCompiled("the model's type hints check its data")
    return Scorer(model)


def _prove(scorer: Scorer, requests: List[Dict[str, Any]]) -> Path:
    """Raises NotCompiled."""
    parsed = _compare_reading(scorer, requests)
    path = _form(scorer, requests, parsed)
    labelled = not isinstance(scorer.layout, TensorLayout) and not _is_wide(scorer.model)
    if labelled and _ignores_labels(scorer, path.input, parsed):
        return path._replace(row_labels=IGNORED)
    return path


def _form(scorer: Scorer, requests: List[Dict[str, Any]], parsed: List[Parsed]) -> Path:
    if not _same_given(scorer, requests):
        return Path(COMPILED, PYFUNC, "MLflow's own checks change what the model is given")
    if isinstance(scorer.layout, TensorLayout):
        return Path(COMPILED, NDARRAY)
    if not isinstance(scorer.layout, BlockLayout):
        return Path(COMPILED, DATAFRAME, "the columns are not all numbers of one type")
    if scorer.model.pyfunc.loader_module not in _BY_POSITION:
        return Path(COMPILED, DATAFRAME, "the model's own code may read its columns by name")
    difference = _difference_of_forms(scorer, parsed)
    return Path(COMPILED, DATAFRAME, difference) if difference else Path(COMPILED, NDARRAY)


def _compare_reading(scorer: Scorer, requests: List[Dict[str, Any]]) -> List[Parsed]:
    """The requests as the parser reads them, which must be as the stock path does. Raises NotCompiled."""
    found = []
    for document in [*requests, *_with_nulls(scorer, requests[0])]:
        body = json.dumps(document).encode()
        parsed = scorer.parse(b"", body)
        if parsed is None:
            continue
        try:
            alike = _alike(_decoded(scorer, document), scorer.layout.frame([parsed]))
        except Exception:  # noqa: S112 - such a value gets the stock path's answer
            continue
        if not alike:
            raise NotCompiled("its data is read otherwise by the stock path")
        found.append(parsed)
    if not found:
        raise NotCompiled("no row could be made to compare it with the stock path")
    return found[: len(requests)]


def _with_nulls(scorer: Scorer, document: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The document with null wherever the parser takes one."""
    if "dataframe_split" not in document:
        return []
    split, columns = document["dataframe_split"], scorer.model.signature.columns
    kinds = [column.kind for column in columns]
    row = [None if kind in NULLABLE else v for kind, v in zip(kinds, split["data"][0])]
    tables = [[row], [split["data"][0], row]]
    return [{"dataframe_split": {**split, "data": data}} for data in (tables[1:] if _is_wide(scorer.model) else tables)]


def _decoded(scorer: Scorer, document: Dict[str, Any]) -> Any:
    return decoder.decode(
        json.dumps(document).encode(), decoder.JSON, scorer.model.signature, scorer.model.json.decode
    ).data


def _same_given(scorer: Scorer, requests: List[Dict[str, Any]]) -> bool:
    """Whether the model gets from MLflow just what the stock path reads, for one row and for all of them."""
    if not scorer.direct:
        return False
    documents = [requests[0], *_with_nulls(scorer, requests[0])]
    if not _is_wide(scorer.model):
        documents.append(_joined(requests))
    for document in documents:
        try:
            given = scorer.given(_decoded(scorer, document)).data
        except Exception:  # noqa: S112 - null for a required column, say
            continue
        if not _alike(given, _decoded(scorer, document)):
            return False
    return True


def _joined(requests: List[Dict[str, Any]]) -> Dict[str, Any]:
    if "inputs" in requests[0]:
        return {"inputs": [item for document in requests for item in document["inputs"]]}
    split = requests[0]["dataframe_split"]
    return {"dataframe_split": {**split, "data": [document["dataframe_split"]["data"][0] for document in requests]}}


def _difference_of_forms(scorer: Scorer, parsed: List[Parsed]) -> str:
    """Where the model answers otherwise for an array than for a DataFrame; empty when it does not."""
    answered, ends = False, time.monotonic() + _SECONDS
    for requests in [parsed, *([one] for one in parsed[:_SINGLES])]:
        expected, found = _answer(scorer, DATAFRAME, requests), _answer(scorer, NDARRAY, requests)
        if (expected is None) is not (found is None):
            return "the model takes no array" if found is None else "the model takes only an array"
        if expected is not None and found is not None:
            answered = True
            if not equality.compare(expected[0], found[0], expected[1]).same:
                return "the model answers otherwise for an array"
        if time.monotonic() > ends:
            return f"the model is too slow to be tried with an array in {_SECONDS:g} s"
    return "" if answered else "the model answered none of the rows that were made up"


def _ignores_labels(scorer: Scorer, form: str, parsed: List[Parsed]) -> bool:
    """Whether the model answers alike whatever the labels of its rows are: through MLflow with, in `form` without."""
    answered, ends = False, time.monotonic() + _SECONDS
    for requests in (parsed, parsed[:1]):
        found = _answer(scorer, form, requests)
        rows = sum(request.rows for request in requests)
        for labels in ([7 * (rows - at) for at in range(rows)], [f"r{at}" for at in range(rows)]):
            expected = _answer(scorer, PYFUNC, requests, labels)
            if (expected is None) is not (found is None) or time.monotonic() > ends:
                return False
            if expected is not None and found is not None:
                answered = True
                if not equality.compare(expected[0], found[0], expected[1]).same:
                    return False
    return answered


def _answer(
    scorer: Scorer, form: str, requests: List[Parsed], labels: Optional[List[Any]] = None
) -> Optional[Tuple[Any, float]]:
    """What the model says, with its tolerance; None where it refuses what was made up."""
    scorer.form = form
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = scorer.build(requests)
            output = scorer.predict(data if labels is None else data.set_axis(labels))
        return encoder.plain(output), equality.tolerance(output)
    except BaseException:
        return None


def _alike(one: Any, other: Any) -> bool:
    """Whether two inputs are equal in all that a model can see."""
    import numpy as np
    import pandas as pd

    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        equal_nan = one.dtype.kind == "f"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=equal_nan)
    if not isinstance(one, pd.DataFrame):
        return False
    return (
        one.equals(other)
        and one.columns.dtype == other.columns.dtype
        and one.index.equals(other.index)
        and _types_alike(one, other)
    )


def _types_alike(one: Any, other: Any) -> bool:
    """Whether columns have the same dtypes; of objects, each value the same type."""
    dtypes = list(one.dtypes)
    if dtypes != list(other.dtypes):
        return False
    objects = [at for at, dtype in enumerate(dtypes) if dtype.kind == "O"]
    return all([*map(type, one.iloc[:, at])] == [*map(type, other.iloc[:, at])] for at in objects)
