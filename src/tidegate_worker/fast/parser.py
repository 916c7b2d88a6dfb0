"""A typed parser made from a signature: it reads JSON straight into rows or columns.

It is sound, not complete: what it accepts, `input.decoder` reads to the same values. It returns None for anything else,
such as another form, a missing or unknown key, a value of another type, or text that msgspec does not take. The stock
path then reads the body, and has the sentence for the caller.
"""

import importlib
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from tidegate_worker.input.signature import NULLABLE, Column, Signature, Tensor

# This many lists of columns, params and content types are remembered, as callers choose them. Each has at most this
# many bytes.
MAX_REMEMBERED = 64
_MAX_REMEMBERED_BYTES = 65536

_TYPES: Dict[str, Any] = {
    "double": float,
    "float": float,
    "long": int,
    "integer": int,
    "boolean": bool,
    "string": str,
    "binary": str,
    "datetime": str,
}
_SCALARS: Dict[str, Any] = {kind: Optional[type_] if kind in NULLABLE else type_ for kind, type_ in _TYPES.items()}
_LABEL = Union[int, float, str]
_TENSOR_SCALARS: Dict[str, Any] = {"f": float, "i": int, "u": int, "b": bool}


class NotCompiled(Exception):
    """No parser can be made for the signature; the text says why."""


class Parsed(NamedTuple):
    """A request's data in the signature's order. `params` is the JSON text of its params.

    `data` is a list of rows, or of columns if `by_column`; for a tensor it is nested lists. `as_arrays`: the request
    had the form `inputs` or `instances`, which MLflow converts otherwise than the tables.
    """

    data: Any
    rows: int
    by_column: bool = False
    as_arrays: bool = False
    params: bytes = b""


class Parser:
    """Reads bodies for one signature. `any_labels`: it takes a table with any `index`, and leaves the index out."""

    def __init__(self, signature: Signature) -> None:
        """Raises NotCompiled."""
        msgspec = _msgspec()
        self._readers = _tensor_readers(signature) if signature.tensors else _column_readers(signature)
        fields = [(form, getattr(read, "kind", msgspec.Raw), None) for form, read in self._readers.items()]
        extras = [("params", msgspec.Raw, None), ("client_request_id", Any, None), ("usage_context", Any, None)]
        document = msgspec.defstruct("Document", [*fields, *extras], forbid_unknown_fields=True)
        self._decode = msgspec.json.Decoder(document).decode

    @property
    def any_labels(self) -> bool:
        split = self._readers.get("dataframe_split")
        return isinstance(split, _Split) and split.any_labels

    @any_labels.setter
    def any_labels(self, value: bool) -> None:
        split = self._readers.get("dataframe_split")
        if isinstance(split, _Split):
            split.any_labels = value

    def parse(self, body: bytes) -> Optional[Parsed]:
        """The request's data, or None where the stock path must read it."""
        try:
            document = self._decode(body)
            parsed: Optional[Parsed] = None
            for form, read in self._readers.items():
                raw = getattr(document, form)
                if raw is not None:
                    if parsed is not None:
                        return None
                    parsed = read(raw)
                    if parsed is None:
                        return None
            if parsed is None or not parsed.rows:
                return None
        except Exception:
            return None
        return parsed if document.params is None else parsed._replace(params=bytes(document.params))


Reader = Callable[[Any], Optional[Parsed]]


def _msgspec() -> Any:
    return importlib.import_module("msgspec")


def _decoder(kind: Any) -> Callable[[Any], Any]:
    msgspec = _msgspec()
    decode: Callable[[Any], Any] = msgspec.json.Decoder(kind).decode
    return decode


def _list_of(kind: Any) -> Any:
    return List[kind]


# --- columns ---


def _column_readers(signature: Signature) -> Dict[str, Reader]:
    columns = signature.columns
    if not columns:
        raise NotCompiled("the model has no signature")
    for column in columns:
        if column.kind not in _SCALARS:
            raise NotCompiled(f"its signature has a column of type {column.title}"[:200])
    if len({column.name for column in columns}) < len(columns) and signature.named:
        raise NotCompiled("its signature has the same column twice")
    if not signature.named:
        rows = _rows_reader([_SCALARS[column.kind] for column in columns])
        return {"dataframe_split": _Split(signature), "inputs": rows, "instances": rows}
    readers: Dict[str, Reader] = {"dataframe_split": _Split(signature)}
    if any(not isinstance(column.name, str) for column in columns):  # no key of a JSON object is an integer
        if _by_position(signature) and len(columns) > 1:
            rows = _rows_reader([_SCALARS[column.kind] for column in columns])
            readers.update(inputs=rows, instances=rows)
        return readers
    try:
        arrays, records = _arrays_reader(columns), _records_reader(columns, as_arrays=False)
    except ValueError:  # a name that msgspec does not take as a key
        return readers
    return {**readers, "dataframe_records": records, "inputs": arrays, "instances": arrays}


def _by_position(signature: Signature) -> bool:
    """Whether rows without names fit: the columns have no names, or have their positions as names."""
    names = [column.name for column in signature.columns]
    return not signature.named or (signature.numbered and names == list(range(len(names))))


def _rows_reader(kinds: Sequence[Any], as_arrays: bool = True) -> Reader:
    decode = _decoder(_list_of(Tuple[tuple(kinds)]))

    def read(raw: Any) -> Parsed:
        rows = decode(raw)
        return Parsed(rows, len(rows), as_arrays=as_arrays)

    return read


def _records_reader(columns: Sequence[Column], as_arrays: bool) -> Reader:
    msgspec = _msgspec()
    decode, astuple = _decoder(_list_of(_struct(columns, lambda kind: kind))), msgspec.structs.astuple

    def read(raw: Any) -> Parsed:
        rows = [astuple(record) for record in decode(raw)]
        return Parsed(rows, len(rows), as_arrays=as_arrays)

    return read


def _arrays_reader(columns: Sequence[Column]) -> Reader:
    """`inputs` and `instances` for named columns: an object of columns or a list of objects; values for one column."""
    msgspec = _msgspec()
    by_column = _decoder(_struct(columns, _list_of))
    astuple = msgspec.structs.astuple
    records = _records_reader(columns, as_arrays=True)
    one_column = _decoder(_list_of(_SCALARS[columns[0].kind])) if len(columns) == 1 else None

    def read(raw: Any) -> Optional[Parsed]:
        text = bytes(memoryview(raw)[:32])
        if text[:1] == b"{":
            by_name = astuple(by_column(raw))
            lengths = set(map(len, by_name))
            return Parsed(by_name, lengths.pop(), by_column=True, as_arrays=True) if len(lengths) == 1 else None
        if text[1:].lstrip()[:1] == b"{":
            return records(raw)
        if one_column is None:
            return None
        values = one_column(raw)
        return Parsed((values,), len(values), by_column=True, as_arrays=True)

    return read


def _struct(columns: Sequence[Column], wrap: Callable[[Any], Any]) -> Any:
    msgspec = _msgspec()
    fields = [(f"f{at}", wrap(_SCALARS[column.kind])) for at, column in enumerate(columns)]
    names = {f"f{at}": column.name for at, column in enumerate(columns)}
    return msgspec.defstruct("Columns", fields, rename=names, forbid_unknown_fields=True, gc=False)


class _Split:
    """Reads `dataframe_split`. It makes a reader for each list of columns once, and remembers it.

    `kind` is the type as which msgspec decodes it within the body.
    """

    def __init__(self, signature: Signature) -> None:
        msgspec = _msgspec()
        raw = msgspec.Raw
        fields = [("data", raw), ("columns", raw, None), ("index", Union[List[_LABEL], None], None)]
        self.any_labels = False
        self.kind = msgspec.defstruct("Split", fields, forbid_unknown_fields=True, gc=False)
        self._signature = signature
        self._readers: Dict[bytes, Optional[Reader]] = {}  # by the JSON text of `columns`

    def __call__(self, split: Any) -> Optional[Parsed]:
        names = b"" if split.columns is None else bytes(split.columns)
        read = self._readers[names] if names in self._readers else self._make_reader(names)
        parsed = None if read is None else read(split.data)
        if parsed is None or split.index is None:
            return parsed
        if self.any_labels and len(split.index) == parsed.rows:
            return parsed
        # The model may read other labels than the default ones; 1.0 is another label than 1.
        default = split.index == list(range(parsed.rows)) and all(type(label) is int for label in split.index)
        return parsed if default else None

    def _make_reader(self, names: bytes) -> Optional[Reader]:
        read = self._reader(names)
        if len(names) < _MAX_REMEMBERED_BYTES:
            if len(self._readers) >= MAX_REMEMBERED:
                self._readers.clear()
            self._readers[names] = read
        return read

    def _reader(self, names: bytes) -> Optional[Reader]:
        columns = self._signature.columns
        if not names or not self._signature.named:
            # Column names that the signature does not have would reach the model.
            unnamed = not names and _by_position(self._signature)
            return _rows_reader([_SCALARS[column.kind] for column in columns], as_arrays=False) if unnamed else None
        labels = _decoder(List[Union[int, str]])(names)
        places = {name: at for at, name in enumerate(labels)}
        if len(places) < len(labels) or any(column.name not in places for column in columns):
            return None
        kinds = {column.name: _SCALARS[column.kind] for column in columns}
        rows = _rows_reader([kinds.get(name, Any) for name in labels], as_arrays=False)
        order = [places[column.name] for column in columns]
        return rows if order == list(range(len(labels))) else _reordering(rows, order)


def _reordering(rows: Reader, order: List[int]) -> Reader:
    """A reader that puts the columns of each row into the signature's order, and leaves out those it does not have."""

    def read(raw: Any) -> Optional[Parsed]:
        parsed = rows(raw)
        return parsed and parsed._replace(data=[tuple([row[at] for at in order]) for row in parsed.data])

    return read


# --- tensors ---


def _tensor_readers(signature: Signature) -> Dict[str, Reader]:
    if len(signature.tensors) > 1:
        raise NotCompiled("its signature has several tensors")
    tensor = signature.tensors[0]
    scalar = _TENSOR_SCALARS.get(tensor.dtype.kind)
    if scalar is None or tensor.dtype.itemsize > 8 or str(tensor.dtype) == "uint64" or not tensor.shape:
        raise NotCompiled(f"its signature has a tensor of {tensor.dtype} {tensor.shape}")
    nested = _nested_reader(tensor, scalar)
    if tensor.name is None:
        return {"inputs": nested, "instances": nested}
    named = _named_reader(tensor, nested)
    return {"inputs": named, "instances": named}


def _nested_reader(tensor: Tensor, scalar: Any) -> Reader:
    kind: Any = scalar
    for length in reversed(tensor.shape[1:]):
        kind = _list_of(kind) if length == -1 or length > 4096 else Tuple[(kind,) * length]
    decode = _decoder(_list_of(kind))

    def read(raw: Any) -> Parsed:
        items = decode(raw)
        return Parsed(items, len(items), as_arrays=True)

    return read


def _named_reader(tensor: Tensor, nested: Reader) -> Reader:
    msgspec = _msgspec()
    fields = [("value", msgspec.Raw)]
    struct = msgspec.defstruct("Named", fields, rename={"value": tensor.name}, forbid_unknown_fields=True)
    decode = _decoder(struct)

    def read(raw: Any) -> Optional[Parsed]:
        return nested(decode(raw).value if bytes(memoryview(raw)[:1]) == b"{" else raw)

    return read
