"""A table as a caller has sent it. Its form is checked here; `columns` checks its values."""

import csv
import io
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from tidegate_worker.input.signature import Column, Signature
from tidegate_worker.ipc.refusal import Refusal, bad_request, json_type

MISSING = float("nan")  # the value of a key that a record does not have, as in pandas


class Table(NamedTuple):
    """Columns of equal length, by name; by position if they have no names."""

    columns: Dict[Any, List[Any]]
    rows: int
    labels: Optional[List[Any]] = None  # of the rows


def from_split(value: Any) -> Table:
    """The table of a `dataframe_split`. Raises Refusal."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]  # a sample in Databricks' documentation has it so
    if not isinstance(value, dict):
        raise bad_request(
            f'"dataframe_split" must be an object with "data" and, as a rule, "columns"; it is {json_type(value)}.'
        )
    if "data" not in value or not set(value) <= {"data", "columns", "index"}:
        raise bad_request('"dataframe_split" must have "data", may have "columns" and "index", and nothing else.')
    data, names, index = value["data"], value.get("columns"), value.get("index")
    if not isinstance(data, list):
        raise bad_request(f'"data" of "dataframe_split" must be a list of rows; it is {json_type(data)}.')
    _check_names(names)
    table = from_rows(data, names)
    if index is not None and not _are_labels(index, table.rows):
        raise bad_request('"index" of "dataframe_split" must be a list with one entry for each row.')
    return table._replace(labels=index)


def from_rows(data: List[Any], names: Optional[List[Any]] = None) -> Table:
    """The table of a list of rows. A list of single values is one column. Raises Refusal."""
    if data and not any(isinstance(row, (list, dict)) for row in data):
        data = [[value] for value in data]
    for number, row in enumerate(data, 1):
        if not isinstance(row, list):
            raise bad_request(f"row {number}: expected a list of values, found {json_type(row)}.")
    width = len(names) if names is not None else len(data[0]) if data else 0
    for number, row in enumerate(data, 1):
        if len(row) != width:
            expected = f"row 1 has {width}" if names is None else f'"columns" has {width}'
            raise bad_request(f"row {number}: has {_values(len(row))}, but {expected}.")
    columns = [list(column) for column in zip(*data)] if data else [[] for _ in range(width)]
    return Table(dict(zip(names if names is not None else range(width), columns)), len(data))


def from_records(value: Any, form: str) -> Table:
    """The table of a list of objects. A list of lists is read as rows without names. Raises Refusal."""
    if not isinstance(value, list):
        raise bad_request(f'"{form}" must be a list of objects; it is {json_type(value)}.')
    if value and all(isinstance(row, list) for row in value):
        return from_rows(value)
    names: Dict[Any, None] = {}
    for number, record in enumerate(value, 1):
        if not isinstance(record, dict):
            raise bad_request(f"row {number}: expected an object, found {json_type(record)}.")
        names.update(dict.fromkeys(record))
    return Table({name: [record.get(name, MISSING) for record in value] for name in names}, len(value))


def from_columns(value: Dict[str, Any]) -> Table:
    """The table of an object of columns. A single value is repeated for each row. Raises Refusal."""
    lengths = {len(column) for column in value.values() if isinstance(column, list)}
    if len(lengths) > 1:
        raise bad_request(f"The columns must all have as many values; they have from {min(lengths)} to {max(lengths)}.")
    rows = lengths.pop() if lengths else 1
    columns = {name: column if isinstance(column, list) else [column] * rows for name, column in value.items()}
    return Table(columns, rows)


LONE_SURROGATE = "half of a surrogate pair, which is no text"  # JSON can escape it; UTF-8 cannot encode it


def lone_surrogate(table: Table) -> Refusal:
    """The refusal of a table with a text that UTF-8 cannot encode. It names the place of the first such text."""
    for position, (name, values) in enumerate(table.columns.items(), 1):
        if _has_lone_surrogate(name):
            return bad_request(f"The name of column {position} has {LONE_SURROGATE}.")
        row = next((row for row, value in enumerate(values, 1) if _has_lone_surrogate(value)), None)
        if row is not None:
            place = f'column "{name}"' if isinstance(name, str) else f"value {position}"
            return bad_request(f"row {row}, {place}: has {LONE_SURROGATE}.")
    row = next((row for row, label in enumerate(table.labels or (), 1) if _has_lone_surrogate(label)), None)
    place = "The body" if row is None else f'row {row}: its label in "index"'
    return bad_request(f"{place} has {LONE_SURROGATE}.")


def _has_lone_surrogate(value: Any) -> bool:
    return isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)


def _are_labels(index: Any, rows: int) -> bool:
    return isinstance(index, list) and len(index) == rows and not any(isinstance(each, (list, dict)) for each in index)


def _check_names(names: Any) -> None:
    if names is None:
        return
    if not isinstance(names, list) or any(isinstance(name, (list, dict)) for name in names):
        raise bad_request('"columns" of "dataframe_split" must be a list of names.')
    if len(set(names)) != len(names):
        raise bad_request('"columns" of "dataframe_split" has the same name twice.')


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"


# --- CSV ---

_CSV_BOOLEANS = {"true": True, "false": False}
# Cells that pandas reads as missing. In a column of text only an empty cell is missing.
_CSV_MISSING = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
     "NULL", "NaN", "None", "n/a", "nan", "null")
)  # fmt: skip
_CSV_TEXTS = ("string", "binary")


def from_csv(body: bytes, signature: Signature) -> Table:
    """The table of a CSV body with a header row. Raises Refusal.

    For a column-based signature the cells stay text, and `columns` converts them. Without one, pandas finds the types.
    """
    import pandas as pd

    text = _csv_text(body)
    try:
        as_text: Dict[str, Any] = {"dtype": str, "keep_default_na": False} if signature.columns else {}
        frame = pd.read_csv(io.StringIO(text), **as_text)
    except ValueError:  # pandas' ParserError and EmptyDataError are among them
        raise bad_request("The body is not valid CSV with a header row.") from None
    columns = {name: frame[name].tolist() for name in frame.columns}
    for name, column in zip(columns, signature.columns) if not signature.named else _named(columns, signature):
        columns[name] = _csv_cells(columns[name], column.kind)
    return Table(columns, len(frame))


def _named(columns: Dict[Any, List[Any]], signature: Signature) -> List[Tuple[Any, Column]]:
    return [(column.name, column) for column in signature.columns if column.name in columns]


def _csv_cells(cells: List[str], kind: str) -> List[Any]:
    if kind in _CSV_TEXTS:
        return [cell or MISSING for cell in cells]
    if kind == "boolean":
        return [MISSING if cell in _CSV_MISSING else _CSV_BOOLEANS.get(cell.lower(), cell) for cell in cells]
    return [MISSING if cell in _CSV_MISSING else cell for cell in cells]


def _csv_text(body: bytes) -> str:
    """The text of the body.

    Raises Refusal unless each row has as many fields as the header, whose names are distinct.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise bad_request("The body is not valid UTF-8.") from None
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error:
        raise bad_request("The body is not valid CSV.") from None
    names = list(filter(None, rows[0])) if rows else []
    if len(set(names)) < len(names):
        raise bad_request("The header of the CSV has the same name twice.")
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise bad_request(f"row {number}: has {_values(len(row))}, but the header has {len(rows[0])}.")
    return text
