"""Request bodies into the input of a pyfunc model, as MLflow's scoring server reads them.

It differs from MLflow on purpose:

- A missing content type means JSON.
- A `dataframe_split` may stand in a list of one.
- Rows in `inputs` and `instances` may have several types without names.
- No value changes silently (see `columns`).
- A refusal names the place, and never repeats the caller's data. Rows and values are counted from one.
"""

import json
import math
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from tidegate_worker.input import columns, table, tensors
from tidegate_worker.input.signature import Signature
from tidegate_worker.ipc import wire
from tidegate_worker.ipc.refusal import Refusal, bad_request, json_type

JSON, CSV = "application/json", "text/csv"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_ONE_OF = "exactly one of " + ", ".join(f'"{form}"' for form in FORMS)

# Decodes JSON text: msgspec's decoder if it is installed, else the standard library's. Raises ValueError.
Decoder = Callable[[bytes], Any]

# Matches a number that may be too large for 64 bits: `json` would make infinity of it.
_PERHAPS_TOO_LARGE = re.compile(rb"[eE]\+?0*[1-9][0-9]{2}|[0-9]{300}")


class Decoded(NamedTuple):
    """The arguments of `predict`."""

    data: Any
    params: Optional[Dict[str, Any]] = None


def decode(body: bytes, content_type: str, signature: Signature, decoder: Decoder = json.loads) -> Decoded:
    """Read a request's body. Raises Refusal."""
    try:
        return _decode(body, content_type, signature, decoder)
    except UnicodeEncodeError:  # a lone surrogate outside of a table
        raise bad_request(f"The body has {table.LONE_SURROGATE}.") from None


def _decode(body: bytes, content_type: str, signature: Signature, decoder: Decoder) -> Decoded:
    media = media_type(content_type)
    if not body.strip():
        raise bad_request(f"The body is empty. Send a JSON object with {_ONE_OF}, or CSV with a header row.")
    if media == CSV:
        return Decoded(frame(table.from_csv(body, signature), signature))
    form, value, params = read_form(parse_json(body, decoder), takes_params=bool(signature.params))
    check_params(params, signature)
    return Decoded(_READERS[form](value, form, signature), params)


def media_type(content_type: str) -> str:
    """The media type, `JSON` or `CSV`. Raises Refusal for another one, and for a charset that is not UTF-8."""
    media, *parameters = [part.strip().lower() for part in content_type.split(";")]
    if media not in ("", JSON, CSV):
        sentence = f"The content type must be {JSON} or {CSV}; with curl: -H 'Content-Type: {JSON}'."
        raise Refusal(wire.UNSUPPORTED_MEDIA_TYPE, sentence)
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        if name.strip() != "charset":
            raise Refusal(wire.UNSUPPORTED_MEDIA_TYPE, "The content type may have a charset and no other parameter.")
        if value.strip(' "') not in ("utf-8", "utf8"):
            raise Refusal(wire.UNSUPPORTED_MEDIA_TYPE, "The charset must be UTF-8.")
    return media or JSON


def parse_json(body: bytes, decoder: Decoder = json.loads) -> Any:
    """The JSON value of a body, which may have NaN and Infinity. Raises Refusal."""
    if decoder is not json.loads:
        try:
            return decoder(body)
        except (ValueError, RecursionError):
            pass  # json.loads takes more: NaN, a lone surrogate, UTF-16
    try:
        return json.loads(body, parse_float=_finite if _PERHAPS_TOO_LARGE.search(body) else None)
    except json.JSONDecodeError as error:
        raise bad_request(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except UnicodeDecodeError:
        raise bad_request("The body is not valid UTF-8.") from None
    except RecursionError:
        raise bad_request("The body is nested too deeply.") from None
    except ValueError:
        raise bad_request("The body has a number that is too large, or has too many digits.") from None


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("too large for 64 bits")
    return number


def read_form(document: Any, takes_params: bool = True) -> Tuple[str, Any, Optional[Dict[str, Any]]]:
    """The one of `FORMS` that the document has, its value, and the params. Raises Refusal.

    A model that takes no params gets none, and `params` may then hold anything, as in MLflow.
    """
    if not isinstance(document, dict):
        raise bad_request(f"The body must be a JSON object with {_ONE_OF}; it is {json_type(document)}.")
    present = [form for form in FORMS if form in document]
    if len(present) != 1:
        has = " and ".join(f'"{form}"' for form in present) or "none of them"
        hint = ' Put the table into it: {"dataframe_split": {"columns": …, "data": …}}.' if "data" in document else ""
        raise bad_request(f"The body must have {_ONE_OF}; it has {has}.{'' if present else hint}")
    params = document.get("params")
    if params is not None and not isinstance(params, dict):
        if not takes_params:
            return present[0], document[present[0]], None
        raise bad_request(f'"params" must be an object; it is {json_type(params)}.')
    return present[0], document[present[0]], params


def check_params(params: Optional[Dict[str, Any]], signature: Signature) -> None:
    """Check the params that the signature has. MLflow drops the others. Raises Refusal."""
    for spec in signature.params if params else ():
        if params and spec.name in params:
            try:
                spec.validate_param_spec(params[spec.name], spec)
            except Exception:  # MLflow's message repeats the value
                kind = ("a list of " if spec.shape else "") + getattr(spec.dtype, "name", str(spec.dtype))
                raise bad_request(
                    f'param "{spec.name}": expected {kind}, found {json_type(params[spec.name])}.'
                ) from None


# --- the forms ---


def _read_frame(value: Any, form: str, signature: Signature) -> Any:
    """The input in `dataframe_split` or `dataframe_records`."""
    if signature.from_type_hint:
        raise bad_request('This model takes its data under the key "inputs".')
    sent = table.from_split(value) if form == "dataframe_split" else table.from_records(value, form)
    return frame(sent, signature)


def frame(sent: table.Table, signature: Signature) -> Any:
    """The pandas DataFrame of a table, for any signature. Raises Refusal."""
    try:
        return columns.frame(sent, signature) if signature.columns else _untyped_frame(sent, signature)
    except UnicodeEncodeError:
        raise table.lone_surrogate(sent) from None


def _untyped_frame(sent: table.Table, signature: Signature) -> Any:
    """The DataFrame for a tensor signature, or without a signature."""
    import pandas as pd

    if not signature.tensors:
        index = sent.labels if sent.labels is not None else range(sent.rows)
        return pd.DataFrame(sent.columns, index=index, dtype=None if sent.rows else object)
    _check_inputs(sent.columns, signature)
    by_name = {tensor.name: tensor for tensor in signature.tensors}
    cells: Dict[Any, Any] = {}
    for position, (label, values) in enumerate(sent.columns.items(), 1):
        tensor = by_name.get(label) if signature.named else signature.tensors[0]
        if tensor is not None:
            what = f'column "{tensor.name}"' if tensor.name is not None else f"column {position}"
            converted = tensors.typed(values, tensor.dtype, what)
            cells[label] = converted if converted.ndim == 1 else values  # MLflow makes arrays of lists
    return pd.DataFrame(cells, index=range(sent.rows))


def _read_arrays(value: Any, form: str, signature: Signature) -> Any:
    """The input in `inputs` or `instances`."""
    if signature.from_type_hint:
        if form != "inputs":
            raise bad_request('This model takes its data under the key "inputs".')
        return value
    if signature.columns:
        sent = _table_of_arrays(value, form, signature)
        try:
            return columns.frame(sent, signature, as_arrays=True)
        except UnicodeEncodeError:
            raise table.lone_surrogate(sent) from None
    if signature.tensors:
        return _tensors_of(value, form, signature)
    return _untyped(value, form)


def _table_of_arrays(value: Any, form: str, signature: Signature) -> table.Table:
    """The table in `inputs` or `instances`, for a column-based signature."""
    only = signature.columns[0].name if signature.named and len(signature.columns) == 1 else None
    if isinstance(value, dict) and signature.named:
        return table.from_records([value], form) if signature.compound else table.from_columns(value)
    if _is_records(value) or (value == [] and only is None):
        return table.from_records(value, form)
    if only is not None and isinstance(value, list):
        return table.from_columns({only: value})
    if signature.named and not signature.numbered:
        raise bad_request(
            f'The model\'s columns have names: send an object for each row in "{form}", or "dataframe_split".'
        )
    if isinstance(value, dict):
        raise bad_request(f'The model\'s columns have no names: "{form}" must be a list of rows.')
    return table.from_rows(value if isinstance(value, list) else [value])


def _tensors_of(value: Any, form: str, signature: Signature) -> Any:
    """The array, or the arrays by their names, for a tensor signature."""
    first = signature.tensors[0]
    if not signature.named:
        if isinstance(value, dict) or _is_records(value):
            raise bad_request(f'The model takes one array without a name: "{form}" must be nested lists.')
        return tensors.array(value, first, f'"{form}"')
    if _is_records(value):
        value = _stacked(value)
    elif not isinstance(value, dict):
        if len(signature.tensors) > 1:
            raise bad_request(f'The model takes several arrays: "{form}" must give each by its name.')
        value = {first.name: value}
    _check_inputs(value, signature)
    return {
        tensor.name: tensors.array(value[tensor.name], tensor, f'"{tensor.name}"')
        for tensor in signature.tensors
        if tensor.name in value
    }


def _untyped(value: Any, form: str) -> Any:
    """The input without a signature: arrays of the type that numpy finds.

    `inputs` keeps lists of objects and empty lists.
    """
    if _is_records(value) and form == "instances":
        value = _stacked(value)
    if value == []:
        return value
    if isinstance(value, dict):
        return {name: tensors.typed(array, None, f'an array in "{form}"') for name, array in value.items()}
    if _is_records(value):
        return [{name: tensors.typed(item, None, f'"{form}"') for name, item in row.items()} for row in value]
    return tensors.typed(value, None, f'"{form}"')


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _stacked(rows: List[Dict[str, Any]]) -> Dict[str, List[Any]]:
    """A list of objects as one object of lists. Raises Refusal unless all objects have the same keys."""
    for number, row in enumerate(rows, 1):
        if row.keys() != rows[0].keys():
            raise bad_request(f"row {number}: must have the same keys as row 1.")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _check_inputs(inputs: Dict[Any, Any], signature: Signature) -> None:
    missing = [tensor.name for tensor in signature.tensors if tensor.name is not None and tensor.name not in inputs]
    if missing:
        raise columns.missing_inputs("input", missing)


_READERS: Dict[str, Callable[[Any, str, Signature], Any]] = {
    "dataframe_split": _read_frame,
    "dataframe_records": _read_frame,
    "instances": _read_arrays,
    "inputs": _read_arrays,
}
