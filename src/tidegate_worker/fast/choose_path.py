"""The choice of path and form of input for a model: the cheapest that gives the same answers as the stock path."""

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
from tidegate_worker.model.readiness import WIDE_COLUMNS
from tidegate_worker.output import encoder, equality
from tidegate_worker.process.log import log_exception

COMPILED, STOCK = "compiled", "stock"
KEPT, IGNORED = "kept", "ignored"

# Flavors whose models read columns by position, so that an array may do. Other code may read them by name.
_BY_POSITION = frozenset({"mlflow.sklearn", "mlflow.lightgbm", "mlflow.xgboost"})
_MADE_UP_ROWS = 8
# So many of them are predicted by themselves too.
_SINGLE_ROWS = 4
_MAX_SECONDS = 2.0


class Path(NamedTuple):
    """The path that serves. `mode` is compiled or stock, and `input` the form in which the model gets its data.

    `reason` says why no cheaper path serves. `row_labels` is IGNORED where the model ignores the labels of rows: then
    the compiled path also takes requests with an `index` of their own.
    """

    mode: str
    input: str
    reason: str = ""
    row_labels: str = KEPT


def choose(model: Model, example: Any = None) -> Tuple[Optional[Scorer], Path]:
    """The compiled path if made-up rows prove it equal to the stock path. `example` is the model's input example."""
    try:
        scorer = _compile(model)
        requests = list(islice(sample_requests.usual(model.signature, example), _row_count(model)))
        path = _prove(scorer, requests)
    except NotCompiled as error:
        return None, Path(STOCK, PYFUNC, str(error))
    except Exception as error:  # without the compiled path the model serves all the same
        log_exception("the compiled path could not be tried", error)
        return None, Path(STOCK, PYFUNC, f"the compiled path could not be tried ({type(error).__name__})")
    return _configured(scorer, path)


def choose_without_predicting(model: Model, reason: str) -> Tuple[Optional[Scorer], Path]:
    """The compiled path if it gives the model the same input as the stock path, in the same form.

    Nothing is predicted.
    """
    try:
        scorer = _compile(model)
        requests = list(islice(sample_requests.usual(model.signature, None), _row_count(model)))
        _compare_reading(scorer, requests)
        keeps_input = _mlflow_keeps_input(scorer, requests)
    except Exception as error:
        return None, Path(STOCK, PYFUNC, str(error) if isinstance(error, NotCompiled) else reason)
    if not keeps_input:
        return _configured(scorer, Path(COMPILED, PYFUNC, "MLflow's own checks change the model's input"))
    form = NDARRAY if isinstance(scorer.layout, TensorLayout) else DATAFRAME
    return _configured(scorer, Path(COMPILED, form, reason))


def recompile(model: Model, recorded: Path) -> Tuple[Optional[Scorer], Path]:
    """The path that an earlier start of the same revision has proved."""
    if recorded.mode != COMPILED:
        return None, recorded
    try:
        return _configured(_compile(model), recorded)
    except NotCompiled as error:
        return None, Path(STOCK, PYFUNC, str(error))


def _configured(scorer: Scorer, path: Path) -> Tuple[Scorer, Path]:
    scorer.form = path.input
    scorer.parser.any_labels = path.row_labels == IGNORED
    if path.input == NDARRAY:
        # The array has no column names: it was proved that the model does not need them.
        warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)
    return scorer, path


def _row_count(model: Model) -> int:
    """How many rows are made up: 2 for a wide table, as MLflow takes 40 µs for each value."""
    return 2 if _is_wide(model) else _MADE_UP_ROWS


def _is_wide(model: Model) -> bool:
    return len(model.signature.columns) > WIDE_COLUMNS


def _compile(model: Model) -> Scorer:
    if model.json.decode is json.loads:
        raise NotCompiled(f"fast JSON is {model.json.note}")
    metadata = model.pyfunc.metadata
    from_example = getattr(metadata, "_is_type_hint_from_example", None)
    if model.signature.from_type_hint or (from_example is not None and from_example()):
        raise NotCompiled("the model's type hints check its data")
    return Scorer(model)


def _prove(scorer: Scorer, requests: List[Dict[str, Any]]) -> Path:
    """The cheapest form of input that is equal to the stock path's. Raises NotCompiled if there is none."""
    parsed = _compare_reading(scorer, requests)
    path = _input_form(scorer, requests, parsed)
    may_have_labels = not isinstance(scorer.layout, TensorLayout) and not _is_wide(scorer.model)
    if may_have_labels and _ignores_labels(scorer, path.input, parsed):
        return path._replace(row_labels=IGNORED)
    return path


def _input_form(scorer: Scorer, requests: List[Dict[str, Any]], parsed: List[Parsed]) -> Path:
    if not _mlflow_keeps_input(scorer, requests):
        return Path(COMPILED, PYFUNC, "MLflow's own checks change the model's input")
    if isinstance(scorer.layout, TensorLayout):
        return Path(COMPILED, NDARRAY)
    if not isinstance(scorer.layout, BlockLayout):
        return Path(COMPILED, DATAFRAME, "the columns are not all numbers of one type")
    if scorer.model.pyfunc.loader_module not in _BY_POSITION:
        return Path(COMPILED, DATAFRAME, "the model's own code may read its columns by name")
    difference = _difference_for_array(scorer, parsed)
    return Path(COMPILED, DATAFRAME, difference) if difference else Path(COMPILED, NDARRAY)


def _compare_reading(scorer: Scorer, requests: List[Dict[str, Any]]) -> List[Parsed]:
    """The requests as the parser reads them. Raises NotCompiled if the stock path reads one of them otherwise."""
    compared = []
    for document in [*requests, *_with_nulls(scorer, requests[0])]:
        body = json.dumps(document).encode()
        parsed = scorer.parse(b"", body)
        if parsed is None:
            continue
        try:
            same = _same_input(_decoded(scorer, document), scorer.layout.frame([parsed]))
        except Exception:  # noqa: S112 - the stock path answers a request that raises here
            continue
        if not same:
            raise NotCompiled("the stock path reads some of its data otherwise")
        compared.append(parsed)
    if not compared:
        raise NotCompiled("no row could be made to compare it with the stock path")
    return compared[: len(requests)]


def _with_nulls(scorer: Scorer, document: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The document with a null in each column where the parser takes one; empty for a tensor."""
    if "dataframe_split" not in document:
        return []
    split, columns = document["dataframe_split"], scorer.model.signature.columns
    kinds = [column.kind for column in columns]
    row = [None if kind in NULLABLE else value for kind, value in zip(kinds, split["data"][0])]
    tables = [[row], [split["data"][0], row]]
    return [{"dataframe_split": {**split, "data": data}} for data in (tables[1:] if _is_wide(scorer.model) else tables)]


def _decoded(scorer: Scorer, document: Dict[str, Any]) -> Any:
    return decoder.decode(
        json.dumps(document).encode(), decoder.JSON, scorer.model.signature, scorer.model.json.decode
    ).data


def _mlflow_keeps_input(scorer: Scorer, requests: List[Dict[str, Any]]) -> bool:
    """Whether MLflow's own checks hand on the decoded input unchanged, for one row and for all of them."""
    if not scorer.direct:
        return False
    documents = [requests[0], *_with_nulls(scorer, requests[0])]
    if not _is_wide(scorer.model):
        documents.append(_joined(requests))
    for document in documents:
        try:
            checked = scorer.checked_input(_decoded(scorer, document)).data
        except Exception:  # noqa: S112 - null for a required column, say
            continue
        if not _same_input(checked, _decoded(scorer, document)):
            return False
    return True


def _joined(requests: List[Dict[str, Any]]) -> Dict[str, Any]:
    if "inputs" in requests[0]:
        return {"inputs": [item for document in requests for item in document["inputs"]]}
    split = requests[0]["dataframe_split"]
    return {"dataframe_split": {**split, "data": [document["dataframe_split"]["data"][0] for document in requests]}}


def _difference_for_array(scorer: Scorer, parsed: List[Parsed]) -> str:
    """How the model answers an array otherwise than a DataFrame; empty if it answers alike."""
    answered, ends = False, time.monotonic() + _MAX_SECONDS
    for requests in [parsed, *([single] for single in parsed[:_SINGLE_ROWS])]:
        expected, answer = _answer(scorer, DATAFRAME, requests), _answer(scorer, NDARRAY, requests)
        if (expected is None) is not (answer is None):
            return "the model takes no array" if answer is None else "the model takes only an array"
        if expected is not None and answer is not None:
            answered = True
            if not equality.compare(expected[0], answer[0], expected[1]).same:
                return "the model gives other answers for an array"
        if time.monotonic() > ends:
            return f"the model is too slow to be tried with an array in {_MAX_SECONDS:g} s"
    return "" if answered else "the model answered none of the made-up rows"


def _ignores_labels(scorer: Scorer, form: str, parsed: List[Parsed]) -> bool:
    """Whether the model gives the same answers through MLflow with labels of rows, and in `form` without them."""
    answered, ends = False, time.monotonic() + _MAX_SECONDS
    for requests in (parsed, parsed[:1]):
        answer = _answer(scorer, form, requests)
        rows = sum(request.rows for request in requests)
        for labels in ([7 * (rows - at) for at in range(rows)], [f"r{at}" for at in range(rows)]):
            expected = _answer(scorer, PYFUNC, requests, labels)
            if (expected is None) is not (answer is None) or time.monotonic() > ends:
                return False
            if expected is not None and answer is not None:
                answered = True
                if not equality.compare(expected[0], answer[0], expected[1]).same:
                    return False
    return answered


def _answer(
    scorer: Scorer, form: str, requests: List[Parsed], labels: Optional[List[Any]] = None
) -> Optional[Tuple[Any, float]]:
    """The model's answer with its tolerance; None if it refuses the made-up rows."""
    scorer.form = form
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = scorer.build(requests)
            output = scorer.predict(data if labels is None else data.set_axis(labels))
        return encoder.plain(output), equality.tolerance(output)
    except BaseException:
        return None


def _same_input(left: Any, right: Any) -> bool:
    """Whether two inputs are equal in all that a model can see."""
    import numpy as np
    import pandas as pd

    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(_same_input(left[key], right[key]) for key in left)
    if isinstance(left, np.ndarray):
        equal_nan = left.dtype.kind == "f"
        return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=equal_nan)
    if not isinstance(left, pd.DataFrame):
        return False
    return (
        left.equals(right)
        and left.columns.dtype == right.columns.dtype
        and left.index.equals(right.index)
        and _same_dtypes(left, right)
    )


def _same_dtypes(left: Any, right: Any) -> bool:
    """Whether the columns have the same dtypes, and in columns of objects all values the same type."""
    dtypes = list(left.dtypes)
    if dtypes != list(right.dtypes):
        return False
    objects = [at for at, dtype in enumerate(dtypes) if dtype.kind == "O"]
    return all([*map(type, left.iloc[:, at])] == [*map(type, right.iloc[:, at])] for at in objects)
