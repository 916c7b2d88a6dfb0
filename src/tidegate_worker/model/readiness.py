"""A model is ready once it has answered: its own input example, else a row made from its signature."""

import hashlib
import json
from typing import Any, Dict, NamedTuple, Optional, Tuple

from tidegate_worker.input import decoder
from tidegate_worker.ipc.refusal import Refusal
from tidegate_worker.model.loaded_model import Model, exception_text
from tidegate_worker.model.sample_requests import sample_body
from tidegate_worker.output import equality
from tidegate_worker.process.log import log_exception

# What takes seconds for so many columns is done otherwise.
WIDE = 2000
_MAX_ANSWER = 64 * 1024  # bytes; of a longer one the digest is kept


class Proof(NamedTuple):
    """What was predicted to become ready: `input_example`, a row made from the `signature`, or `none`."""

    example: str
    warning: str = ""


class Answered(NamedTuple):
    """A proof with what the model said, as JSON; `tolerance` is how far its floats may lie apart (see `same`)."""

    proof: Proof
    answer: str = ""
    tolerance: float = equality.DOUBLE


class NotProved(Exception):
    """The model could not answer its own input example."""


def answer_example(model: Model, model_dir: str) -> Optional[Answered]:
    """Let the model answer its own input example, if one can be read. Raises NotProved without an answer."""
    example, _ = input_example(model, model_dir)
    if example is None:
        return None
    try:
        return _answered(Proof("input_example"), model, model.predict(*example))
    except Refusal as refusal:
        if refusal.__cause__ is not None:
            log_exception("the input example failed", refusal.__cause__)
        raise NotProved(f"The model failed on its own input example: {refusal.sentence}") from refusal


def answer_made_up(model: Model, model_dir: str) -> Answered:
    """Let the model answer a row made from its signature.

    It proves less: when the model refuses the row, the model may still be sound, and gets a warning.
    """
    _, unreadable = input_example(model, model_dir)
    body = sample_body(model.signature)
    if body is None:
        return unanswered(model, model_dir)
    try:
        data, params = decoder.decode(json.dumps(body).encode(), decoder.JSON, model.signature)
        return _answered(Proof("signature", unreadable), model, model.predict(data, params))
    except Refusal as refusal:
        return unanswered(model, model_dir, f"it failed on a row made from its signature: {refusal.sentence}")


def unanswered(model: Model, model_dir: str, reason: str = "") -> Answered:
    """The proof of a model that has no input example, where nothing else was answered either."""
    _, unreadable = input_example(model, model_dir)
    if reason:
        said = f"The model has no input example, and {reason}"
    else:
        said = "" if unreadable else "Nothing was predicted: the model has no input example and no signature."
    return Answered(Proof("none", f"{unreadable} {said}".strip()))


def _answered(proof: Proof, model: Model, output: Any) -> Answered:
    """Raises Refusal."""
    answer = model.encode(output)
    shown = answer.decode() if len(answer) <= _MAX_ANSWER else "sha256:" + hashlib.sha256(answer).hexdigest()
    return Answered(proof, shown, equality.tolerance(output))


def input_example(model: Model, model_dir: str) -> Tuple[Optional[Tuple[Any, Optional[Dict[str, Any]]]], str]:
    """The saved example with its params, and a warning when there is one that cannot be read."""
    metadata = model.pyfunc.metadata
    if not getattr(metadata, "saved_input_example_info", None):
        return None, ""
    try:
        wide = len(model.signature.columns) > WIDE
        data = _wide_example(model, model_dir) if wide else metadata.load_input_example(model_dir)
        read_params = getattr(metadata, "load_input_example_params", None)  # since MLflow 2.11
        params = read_params(model_dir) if read_params is not None else None
    except Exception as error:  # written by another version of MLflow, or its file is gone
        return None, f"The saved input example could not be read: {exception_text(error)}."
    return None if data is None else (data, params), ""


def _wide_example(model: Model, model_dir: str) -> Any:
    """The same of a table with many columns, for which MLflow takes a time that grows with their square."""
    info = model.pyfunc.metadata.saved_input_example_info
    if info.get("type") != "dataframe" or info.get("pandas_orient") != "split":
        return model.pyfunc.metadata.load_input_example(model_dir)
    with open(f"{model_dir}/{info['artifact_path']}", encoding="utf-8") as opened:  # noqa: PTH123
        split = json.load(opened)
    body = json.dumps({"dataframe_split": {name: split[name] for name in ("columns", "data")}})
    return decoder.decode(body.encode(), decoder.JSON, model.signature, model.json.decode).data
