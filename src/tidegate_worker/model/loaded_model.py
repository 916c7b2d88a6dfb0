"""A loaded model on the stock path: one request in, one answer out.

Without a prediction the answer says whose fault it is.
"""

import inspect
import time
from typing import Any, Dict, Optional

from tidegate_worker.input import decoder
from tidegate_worker.input.signature import Signature
from tidegate_worker.ipc import wire
from tidegate_worker.ipc.refusal import Refusal, bad_request
from tidegate_worker.model import accelerators, loading
from tidegate_worker.model.accelerators import Json
from tidegate_worker.output import encoder
from tidegate_worker.process.log import log_exception

MAX_MESSAGE = 2000  # characters of an exception's text that a caller gets

# Functions of MLflow that check the input before the model's own code runs. Their messages repeat the caller's data.
_ENFORCERS = frozenset(
    {"_validate_prediction_input", "_enforce_schema", "_enforce_params_schema", "_validate_model_input"}
)


class Model:
    """An MLflow pyfunc model with its signature."""

    def __init__(self, pyfunc: Any, json: Optional[Json] = None) -> None:
        self.pyfunc = pyfunc
        self.signature = Signature.of(pyfunc.metadata)
        self.json = json if json is not None else accelerators.fast_json()
        self._takes_params = "params" in inspect.signature(pyfunc.predict).parameters  # since MLflow 2.6

    @classmethod
    def load(cls, model_dir: str) -> "Model":
        """Load the model from its directory. Raises whatever its own code raises."""
        return cls(loading.load(model_dir))

    def answer(self, request: wire.Request, wait: float = 0.0) -> wire.Answer:
        """Answer one request, which has waited for `wait` seconds. Never raises."""
        meta = wire.unpack_meta(request.meta)
        try:
            return self._answer(request, meta.get("content-type", ""), wait)
        except Refusal as refusal:
            return _refused(request, refusal)
        except Exception as error:
            log_exception(f"request {meta.get('request-id', request.id)}: the worker failed", error)
            sentence = "The worker failed on this request; the endpoint's logs say where."
            return wire.Answer(request.id, wire.INTERNAL, 0, b"", sentence.encode())

    def _answer(self, request: wire.Request, content_type: str, wait: float) -> wire.Answer:
        began = time.perf_counter()
        data, params = decoder.decode(request.body, content_type, self.signature, self.json.decode)
        decoded = time.perf_counter()
        output = self.predict(data, params)
        predicted = time.perf_counter()
        body = self.encode(output)
        steps = (
            ("batch", "1"),
            ("wait", _micros(wait)),
            ("decode", _micros(decoded - began)),
            ("predict", _micros(predicted - decoded)),
            ("encode", _micros(time.perf_counter() - predicted)),
        )
        return wire.Answer(request.id, wire.OK, 0, wire.pack_meta(steps), body)

    def refused(self, request: wire.Request, error: BaseException) -> wire.Answer:
        """The answer to a request for which the model has raised this error."""
        if isinstance(error, Refusal):
            return _refused(request, error)
        refusal = Refusal(wire.MODEL_ERROR, exception_text(error))
        refusal.__cause__ = error
        return _refused(request, refusal)

    def predict(self, data: Any, params: Optional[Dict[str, Any]] = None) -> Any:
        """The model's output. Raises Refusal, whose cause is the model's exception."""
        options = {"params": params} if self._takes_params else {}
        try:
            return self.pyfunc.predict(data, **options)
        except BaseException as error:  # with SystemExit: one request must not end the replica
            if _is_enforcement(error):
                raise bad_request(_misfit(data, self.signature)) from None
            raise Refusal(wire.MODEL_ERROR, exception_text(error)) from error

    def encode(self, output: Any) -> bytes:
        """The output as the JSON of an answer. Raises Refusal."""
        try:
            return encoder.encode(output, self.json.encode)
        except Refusal:
            raise
        except Exception as error:  # an object of the model's may raise when it is read
            sentence = f"The model's output cannot be written as JSON: {exception_text(error)}"
            raise Refusal(wire.BAD_OUTPUT, sentence) from error


def _refused(request: wire.Request, refusal: Refusal) -> wire.Answer:
    if refusal.__cause__ is not None:
        name = wire.unpack_meta(request.meta).get("request-id", request.id)
        log_exception(f"request {name}: {refusal.sentence}", refusal.__cause__)
    return wire.Answer(request.id, refusal.outcome, 0, b"", refusal.sentence.encode("utf-8", "replace"))


def exception_text(error: BaseException) -> str:
    """The exception as `Type: message`, with at most `MAX_MESSAGE` characters of its message."""
    try:
        message = str(error)
    except Exception:
        message = "(its message cannot be read)"
    if len(message) > MAX_MESSAGE:
        message = message[:MAX_MESSAGE] + " …"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _micros(seconds: float) -> str:
    return str(int(seconds * 1e6))


def _is_enforcement(error: BaseException) -> bool:
    """Whether MLflow's check of the input has raised the error: its frame comes before any frame of other code."""
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in ("mlflow", "contextlib"):
            return False
        if trace.tb_frame.f_code.co_name in _ENFORCERS:
            return True
        trace = trace.tb_next
    return False


def _misfit(data: Any, signature: Signature) -> str:
    """The sentence for an input that MLflow did not take. It names row and column if a compound column does not fit."""
    for column in signature.columns:
        if not column.kind and column.name is not None and hasattr(data, "columns") and column.name in data.columns:
            row = _first_misfit(data[column.name].tolist(), column.type, column.required)
            if row is not None:
                return f'row {row + 1}, column "{column.name}": expected {column.title}.'
    return f"The input does not fit the model's signature: {signature}."


def _first_misfit(values: Any, kind: Any, required: bool) -> Optional[int]:
    from mlflow.models import utils

    enforce = getattr(utils, "_enforce_type", None)  # since MLflow 2.10, as compound columns are
    if enforce is None:
        return None

    def fits(value: Any) -> bool:
        try:
            enforce(value, kind, required)
        except Exception:
            return False
        return True

    return next((row for row, value in enumerate(values) if not fits(value)), None)
