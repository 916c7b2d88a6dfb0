"""The compiled request path: parse, join, predict, split and encode, in the input form that was proved.

It answers for requests of which it is certain. Whatever it raises means: ask the stock path, `Model.answer`.
"""

import copy
import inspect
import itertools
import json
from typing import Any, Dict, Hashable, List, NamedTuple, Optional, Sequence

from tidegate_worker.fast.layouts import BlockLayout, TensorLayout, layout_of
from tidegate_worker.fast.parser import MEMORY, Parsed, Parser
from tidegate_worker.input import decoder
from tidegate_worker.ipc.refusal import Refusal
from tidegate_worker.model import sample_requests
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.output import encoder, equality

# The forms of input, the cheapest first: an array or a DataFrame straight to the flavor's model; or through pyfunc.
NDARRAY, DATAFRAME, PYFUNC = "ndarray", "dataframe", "pyfunc"


class Scored(NamedTuple):
    """The answers of requests that were predicted together, one list of plain values each."""

    answers: List[Any]
    tolerance: float  # see `same`


class OtherLength(Exception):
    """The model did not return one item for each row."""


class Given(NamedTuple):
    """What the stock path hands to the flavor's model."""

    data: Any
    options: Dict[str, Any]


class Scorer:
    """A model with its compiled request path. `form` is one of the forms of input."""

    def __init__(self, model: Model) -> None:
        """Raises NotCompiled."""
        self.model = model
        self.form = PYFUNC
        self.parser = Parser(model.signature)
        self.layout = layout_of(model.signature)
        self.joins = not isinstance(self.layout, TensorLayout) or self.layout.joins
        self._predict = getattr(model.pyfunc, "_predict_fn", None)
        self._content_types: Dict[bytes, bool] = {}
        self._options: Dict[bytes, Optional[Dict[str, Any]]] = {}
        self._plain_options = self._options_of(b"") if self._predict is not None else None

    @property
    def direct(self) -> bool:
        """Whether the flavor's model can be called without MLflow's checks of each input."""
        return self._plain_options is not None

    # requests

    def parse(self, meta: bytes, body: bytes) -> Optional[Parsed]:
        """The request's data, or None where the stock path must answer."""
        if not self._takes(meta):
            return None
        parsed = self.parser.parse(body)
        return None if parsed is None or (parsed.params and self._options_of(parsed.params) is None) else parsed

    def key(self, parsed: Parsed) -> Hashable:
        """Requests with equal keys may be predicted together: they have the same params, columns and dtypes."""
        return parsed.params if isinstance(self.layout, BlockLayout) else (parsed.params, parsed.as_arrays)

    def _takes(self, meta: bytes) -> bool:
        """Whether the body is JSON in UTF-8."""
        _, found, rest = (b"\n" + meta).partition(b"\ncontent-type=")
        given = rest.partition(b"\n")[0] if found else b""
        known = self._content_types.get(given)
        return self._learn_content_type(given) if known is None else known

    def _learn_content_type(self, given: bytes) -> bool:
        try:
            takes = decoder.media_type(given.decode("latin-1")) == decoder.JSON
        except Refusal:
            takes = False
        if len(self._content_types) >= MEMORY:
            self._content_types.clear()
        self._content_types[given] = takes
        return takes

    # predictions

    def build(self, requests: Sequence[Parsed]) -> Any:
        """What the model is given for all rows together. Raises whatever does not fit."""
        return self.layout.array(requests) if self.form == NDARRAY else self.layout.frame(requests)

    def predict(self, data: Any, params: bytes = b"") -> Any:
        """What the model returns. Raises whatever the model raises."""
        if self.form == PYFUNC or self._predict is None:
            return self.model.predict(data, self.model.json.decode(params) if params else None)
        return self._predict(data, **self._fresh_options(params))

    def score(self, requests: Sequence[Parsed]) -> Scored:
        """Predict together and split. Raises OtherLength, and whatever `predict` and the output raise."""
        output = self.predict(self.build(requests), requests[0].params)
        return self.split(output, [request.rows for request in requests])

    def split(self, output: Any, rows: Sequence[int]) -> Scored:
        """Each request's own part of the output. Raises OtherLength or Refusal."""
        plain = encoder.plain(output)
        if len(rows) == 1:
            return Scored([plain], equality.tolerance(output))
        if isinstance(output, (dict, tuple, str, bytes)) or not isinstance(plain, list) or len(plain) != sum(rows):
            raise OtherLength
        if len(plain) == len(rows):
            return Scored([[item] for item in plain], equality.tolerance(output))
        ends = list(itertools.accumulate(rows))
        return Scored([plain[end - count : end] for end, count in zip(ends, rows)], equality.tolerance(output))

    def encode(self, answer: Any) -> bytes:
        """The body of one request's answer."""
        return encoder.write(answer, self.model.json.encode)

    # the stock path, as reference

    def given(self, data: Any, params: Optional[Dict[str, Any]] = None) -> Given:
        """What MLflow's own checks make of `data` and `params` for the flavor's model. Raises what they raise."""
        return self._recorded(copy.copy(self.model.pyfunc), data, params)

    def _given_params(self, params: Optional[Dict[str, Any]]) -> Given:
        """The same with any data: it is not held against the signature, which takes long where it has many columns."""
        pyfunc = copy.copy(self.model.pyfunc)
        try:
            metadata = pyfunc._model_meta = copy.copy(pyfunc.metadata)  # noqa: SLF001
            metadata.signature = copy.copy(metadata.signature)
            metadata.signature.inputs = None
            return self._recorded(pyfunc, [], params)
        except AttributeError:  # MLflow is built otherwise
            return self.given(self._sample(), params)

    def _recorded(self, pyfunc: Any, data: Any, params: Optional[Dict[str, Any]]) -> Given:
        seen: List[Given] = []

        def record(*args: Any, **options: Any) -> None:
            seen.append(Given(args[0], options))

        record.__signature__ = inspect.signature(self._predict)  # type: ignore[attr-defined,arg-type]
        pyfunc._predict_fn = record  # noqa: SLF001
        pyfunc.predict(data, **({} if params is None else {"params": params}))
        return seen[0]

    def _options_of(self, params: bytes) -> Optional[Dict[str, Any]]:
        """The keyword arguments that MLflow makes of a request's params; None where the stock path must refuse them."""
        if params in self._options:
            return self._options[params]
        try:
            options = self._learn_options(params)
        except Exception:
            options = None
        if len(self._options) >= MEMORY:
            self._options = {b"": self._plain_options}
        if len(params) <= 4096:
            self._options[params] = options
        return options

    def _learn_options(self, params: bytes) -> Dict[str, Any]:
        given = self.model.json.decode(params) if params else None
        if given is not None and not isinstance(given, dict):
            raise TypeError
        decoder.check_params(given, self.model.signature)
        return self._given_params(given).options

    def _sample(self) -> Any:
        body = json.dumps(sample_requests.sample_body(self.model.signature)).encode()
        return decoder.decode(body, decoder.JSON, self.model.signature).data

    def _fresh_options(self, params: bytes) -> Dict[str, Any]:
        options = self._options_of(params)
        if options is None:
            raise TypeError("params that the stock path must refuse")
        return copy.deepcopy(options) if any(options.values()) else options
