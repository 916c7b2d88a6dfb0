"""The proof that a model is ready: it has answered its own input example, else a row made from its signature."""

import hashlib
import json
from typing import Any, Dict, NamedTuple, Optional, Tuple

from tidegate_worker.input import decoder
from tidegate_worker.ipc.refusal import Refusal
from tidegate_worker.model.loaded_model import Model, exception_text
from tidegate_worker.model.sample_requests import sample_body
from tidegate_worker.output import equality
from tidegate_worker.process.log import log_exception

# With more columns than this, steps are left out or replaced that would take seconds.
WIDE_COLUMNS = 2000
_MAX_ANSWER_BYTES = 64 * 1024  # of a longer answer the digest is kept


class Proof(NamedTuple):
    """What was predicted to become ready: `input_example`, a row made from the `signature`, or `none`."""

    example: str
    warning: str = ""


class FirstAnswer(NamedTuple):
    """A proof with the answer as JSON. `tolerance` is how far its floats may differ (see `output.equality`)."""

    proof: Proof
    answer: str = ""
    tolerance: float = equality.DOUBLE


class NotProved(Exception):
    """The model could not answer its own input example."""


def answer_example(model: Model, model_dir: str) -> Optional[FirstAnswer]:
    """Let the model answer its own input example, if there is one that can be read. Raises NotProved if it fails."""
    example, _ = input_example(model, model_dir)
    if example is None:
        return None
    try:
        return _first_answer(Proof("input_example"), model, model.predict(*example))
    except Refusal as refusal:
        if refusal.__cause__ is not None:
            log_exception("the input example failed", refusal.__cause__)
        raise NotProved(f"The model failed on its own input example: {refusal.sentence}") from refusal


def answer_made_up(model: Model, model_dir: str) -> FirstAnswer:
    """Let the model answer a row made from its signature.

    It proves less: a model that refuses the row may still be sound. Its proof then has a warning.
    """
    _, unreadable = input_example(model, model_dir)
    body = sample_body(model.signature)
    if body is None:
        return no_answer(model, model_dir)
    try:
        data, params = decoder.decode(json.dumps(body).encode(), decoder.JSON, model.signature)
        return _first_answer(Proof("signature", unreadable), model, model.predict(data, params))
    except Refusal as refusal:
        return no_answer(model, model_dir, f"it failed on a row made from its signature: {refusal.sentence}")


def no_answer(model: Model, model_dir: str, reason: str = "") -> FirstAnswer:
    """The proof of a model that has no input example and has answered nothing else."""
    _, unreadable = input_example(model, model_dir)
    if reason:
        sentence = f"The model has no input example, and {reason}"
    else:
        sentence = "" if unreadable else "Nothing was predicted: the model has no input example and no signature."
    return FirstAnswer(Proof("none", f"{unreadable} {sentence}".strip()))


def _first_answer(proof: Proof, model: Model, output: Any) -> FirstAnswer:
    """The proof with the output as JSON, or with its digest. Raises Refusal."""
    answer = model.encode(output)
    kept = answer.decode() if len(answer) <= _MAX_ANSWER_BYTES else "sha256:" + hashlib.sha256(answer).hexdigest()
    return FirstAnswer(proof, kept, equality.tolerance(output))


def input_example(model: Model, model_dir: str) -> Tuple[Optional[Tuple[Any, Optional[Dict[str, Any]]]], str]:
    """The saved example with its params, and a warning if there is one that cannot be read."""
    metadata = model.pyfunc.metadata
    if not getattr(metadata, "saved_input_example_info", None):
        return None, ""
    try:
        wide = len(model.signature.columns) > WIDE_COLUMNS
        data = _wide_example(model, model_dir) if wide else metadata.load_input_example(model_dir)
        read_params = getattr(metadata, "load_input_example_params", None)  # since MLflow 2.11
        params = read_params(model_dir) if read_params is not None else None
    except Exception as error:  # written by another version of MLflow, or its file is gone
        return None, f"The saved input example could not be read: {exception_text(error)}."
    return None if data is None else (data, params), ""


def _wide_example(model: Model, model_dir: str) -> Any:
    """The data of an example with many columns. MLflow's own reader takes a time that grows with their square."""
    info = model.pyfunc.metadata.saved_input_example_info
    if info.get("type") != "dataframe" or info.get("pandas_orient") != "split":
        return model.pyfunc.metadata.load_input_example(model_dir)
    with open(f"{model_dir}/{info['artifact_path']}", encoding="utf-8") as opened:  # noqa: PTH123
        split = json.load(opened)
    body = json.dumps({"dataframe_split": {name: split[name] for name in ("columns", "data")}})
    return decoder.decode(body.encode(), decoder.JSON, model.signature, model.json.decode).data
