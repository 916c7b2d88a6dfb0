"""The compiled path of a model: parse requests, join them, predict, split the output and encode the answers.

It answers only requests of which it is certain. When it raises, the stock path (`Model.answer`) has to answer.
"""

import copy
import inspect
import itertools
import json
from typing import Any, Dict, Hashable, List, NamedTuple, Optional, Sequence

from tidegate_worker.fast.layouts import BlockLayout, TensorLayout, layout_of
from tidegate_worker.fast.parser import MAX_REMEMBERED, Parsed, Parser
from tidegate_worker.input import decoder
from tidegate_worker.ipc.refusal import Refusal
from tidegate_worker.model import sample_requests
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.output import encoder, equality

# The forms of input, the cheapest first: an array or a DataFrame for the flavor's model itself; or a call through
# pyfunc.
NDARRAY, DATAFRAME, PYFUNC = "ndarray", "dataframe", "pyfunc"


class Scored(NamedTuple):
    """The answers to requests that were predicted together. Each is a list of plain values (`encoder.plain`)."""

    answers: List[Any]
    tolerance: float  # see `output.equality`


class WrongLength(Exception):
    """The model did not return one item for each row."""


class CheckedInput(NamedTuple):
    """What MLflow hands to the flavor's model after its own checks: data, and keyword arguments."""

    data: Any
    options: Dict[str, Any]


class Scorer:
    """A model with its compiled path. `form` is the form of input; `joins`: requests may share a batch."""

    def __init__(self, model: Model) -> None:
        """Raises NotCompiled."""
        self.model = model
        self.form = PYFUNC
        self.parser = Parser(model.signature)
        self.layout = layout_of(model.signature)
        self.joins = not isinstance(self.layout, TensorLayout) or self.layout.joins
        self._predict = getattr(model.pyfunc, "_predict_fn", None)
        self._content_types: Dict[bytes, bool] = {}  # whether they say JSON
        self._options: Dict[bytes, Optional[Dict[str, Any]]] = {}  # by the JSON text of params
        self._plain_options = self._options_of(b"") if self._predict is not None else None

    @property
    def direct(self) -> bool:
        """Whether the flavor's model can be called without MLflow's checks of each input."""
        return self._plain_options is not None

    # requests

    def parse(self, meta: bytes, body: bytes) -> Optional[Parsed]:
        """The request's data, or None where the stock path must answer."""
        if not self._is_json(meta):
            return None
        parsed = self.parser.parse(body)
        return None if parsed is None or (parsed.params and self._options_of(parsed.params) is None) else parsed

    def key(self, parsed: Parsed) -> Hashable:
        """Requests with equal keys may be predicted together: they have the same params, columns and dtypes."""
        return parsed.params if isinstance(self.layout, BlockLayout) else (parsed.params, parsed.as_arrays)

    def _is_json(self, meta: bytes) -> bool:
        """Whether the content type says JSON in UTF-8."""
        _, found, rest = (b"\n" + meta).partition(b"\ncontent-type=")
        content_type = rest.partition(b"\n")[0] if found else b""
        known = self._content_types.get(content_type)
        return self._learn_content_type(content_type) if known is None else known

    def _learn_content_type(self, content_type: bytes) -> bool:
        try:
            is_json = decoder.media_type(content_type.decode("latin-1")) == decoder.JSON
        except Refusal:
            is_json = False
        if len(self._content_types) >= MAX_REMEMBERED:
            self._content_types.clear()
        self._content_types[content_type] = is_json
        return is_json

    # predictions

    def build(self, requests: Sequence[Parsed]) -> Any:
        """The model's input for all rows together. Raises the errors of numpy and pandas for values that do not fit."""
        return self.layout.array(requests) if self.form == NDARRAY else self.layout.frame(requests)

    def predict(self, data: Any, params: bytes = b"") -> Any:
        """The model's output. Raises whatever the model raises."""
        if self.form == PYFUNC or self._predict is None:
            return self.model.predict(data, self.model.json.decode(params) if params else None)
        return self._predict(data, **self._fresh_options(params))

    def score(self, requests: Sequence[Parsed]) -> Scored:
        """Predict together and split. Raises WrongLength, and whatever `predict` and the output raise."""
        output = self.predict(self.build(requests), requests[0].params)
        return self.split(output, [request.rows for request in requests])

    def split(self, output: Any, rows: Sequence[int]) -> Scored:
        """Each request's own part of the output. Raises WrongLength or Refusal."""
        plain = encoder.plain(output)
        if len(rows) == 1:
            return Scored([plain], equality.tolerance(output))
        if isinstance(output, (dict, tuple, str, bytes)) or not isinstance(plain, list) or len(plain) != sum(rows):
            raise WrongLength
        if len(plain) == len(rows):
            return Scored([[item] for item in plain], equality.tolerance(output))
        ends = list(itertools.accumulate(rows))
        return Scored([plain[end - count : end] for end, count in zip(ends, rows)], equality.tolerance(output))

    def encode(self, answer: Any) -> bytes:
        """The body of one request's answer."""
        return encoder.write(answer, self.model.json.encode)

    # MLflow's own checks

    def checked_input(self, data: Any, params: Optional[Dict[str, Any]] = None) -> CheckedInput:
        """What MLflow's own checks make of `data` and `params`. Raises what they raise. The model is not called."""
        return self._recorded(copy.copy(self.model.pyfunc), data, params)

    def _checked_params(self, params: Optional[Dict[str, Any]]) -> CheckedInput:
        """The checked params alone. The data is not checked, which would take long with many columns."""
        pyfunc = copy.copy(self.model.pyfunc)
        try:
            metadata = pyfunc._model_meta = copy.copy(pyfunc.metadata)  # noqa: SLF001
            metadata.signature = copy.copy(metadata.signature)
            metadata.signature.inputs = None
            return self._recorded(pyfunc, [], params)
        except AttributeError:  # MLflow is built otherwise
            return self.checked_input(self._sample(), params)

    def _recorded(self, pyfunc: Any, data: Any, params: Optional[Dict[str, Any]]) -> CheckedInput:
        """The call that a copy of the model gets from MLflow's pyfunc, recorded in place of the flavor's model."""
        calls: List[CheckedInput] = []

        def record(*args: Any, **options: Any) -> None:
            calls.append(CheckedInput(args[0], options))

        record.__signature__ = inspect.signature(self._predict)  # type: ignore[attr-defined,arg-type]
        pyfunc._predict_fn = record  # noqa: SLF001
        pyfunc.predict(data, **({} if params is None else {"params": params}))
        return calls[0]

    def _options_of(self, params: bytes) -> Optional[Dict[str, Any]]:
        """The keyword arguments that MLflow makes of a request's params; None if the stock path must refuse them."""
        if params in self._options:
            return self._options[params]
        try:
            options = self._learn_options(params)
        except Exception:
            options = None
        if len(self._options) >= MAX_REMEMBERED:
            self._options = {b"": self._plain_options}
        if len(params) <= 4096:
            self._options[params] = options
        return options

    def _learn_options(self, params: bytes) -> Dict[str, Any]:
        values = self.model.json.decode(params) if params else None
        if values is not None and not isinstance(values, dict):
            raise TypeError
        decoder.check_params(values, self.model.signature)
        return self._checked_params(values).options

    def _sample(self) -> Any:
        body = json.dumps(sample_requests.sample_body(self.model.signature)).encode()
        return decoder.decode(body, decoder.JSON, self.model.signature).data

    def _fresh_options(self, params: bytes) -> Dict[str, Any]:
        options = self._options_of(params)
        if options is None:
            raise TypeError("params that the stock path must refuse")
        return copy.deepcopy(options) if any(options.values()) else options
