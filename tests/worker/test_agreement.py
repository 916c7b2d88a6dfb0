"""How far the worker reads as MLflow's own scoring server does: payloads by hand, made to fit, and made not to.

Where they differ on purpose is in docs/api.md; nothing else may differ.
"""

from typing import Any, NamedTuple

from mlflow.models import ModelSignature

from tests.worker.test_compiled import COMPILABLE
from tests.worker.test_differential import SIGNATURES

ALL: dict[str, ModelSignature | None] = {**SIGNATURES, **COMPILABLE}


class Payload(NamedTuple):
    """A body for a model of that signature."""

    signature: str
    content_type: str
    body: bytes


class Reading(NamedTuple):
    """What became of it: the class of the status, and what the model was given."""

    status: int
    given: Any
