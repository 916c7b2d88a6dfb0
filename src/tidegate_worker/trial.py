"""The fork test: whether a model that was loaded in a fork answers its example as it did in a process of its own."""

import json
from typing import Optional

from tidegate_worker import same
from tidegate_worker.model import Model
from tidegate_worker.proof import Answered, answer_example


def difference(model: Model, model_dir: str, answer: Optional[str]) -> str:
    """A sentence on how the answer differs from the known one; empty when it does not, or nothing can be compared.

    A model whose answers differ by themselves, from one prediction to the next, has none to be held to. Raises
    NotProved.
    """
    found = answer_example(model, model_dir)
    if answer is None or _alike(answer, found) or not _alike(answer_example(model, model_dir).answer, found):
        return ""
    return "The model answers its example otherwise in a fork than in a process of its own."


def _alike(answer: str, found: Answered) -> bool:
    if answer == found.answer:
        return True
    try:
        one, other = json.loads(answer), json.loads(found.answer)
    except ValueError:  # a digest, or nothing
        return False
    return same.compare(one, other, found.tolerance).same
