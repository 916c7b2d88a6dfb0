"""What visitors of the zoo ask, and what the right answer is: what the animal says to that request by itself."""

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tests.gateway.house import TOKEN
from tests.gateway.menagerie import ANIMALS, endpoint
from tests.worker import zoo
from tests.worker.forms import form
from tidegate_worker.output import equality
from tidegate_worker.output.encoder import plain

MOST_ROWS = 30
_POISONED = 0.02


@dataclass
class Question:
    """One request. `calls` are the counts that a model with state has told so far: each call has its own."""

    animal: str
    columns: dict[str, list[Any]]
    params: dict[str, Any]
    request: bytes = b""  # as it goes over the wire
    expected: Any = None
    poisoned: bool = False
    _right: bytes | None = field(default=None, repr=False)  # an answer that was found right

    def fault(self, status: int, body: bytes, calls: set[int]) -> str:
        """What is wrong with an answer; empty when it is right."""
        if status == 200 and body == self._right:
            return ""
        if self.poisoned:
            refused = status == 400 and json.loads(body)["message"] == "ValueError: poison"
            return "" if refused else f"{status} for poison"
        if status != 200:
            return f"{status} {body[:200]!r}"
        found = json.loads(body)["predictions"]
        if self.animal == "counter":
            return self._miscounted(found, calls)
        if not equality.compare(
            found, self.expected, equality.SINGLE if self.animal == "singles" else equality.DOUBLE
        ).same:
            return f"{found!r} is not {self.expected!r}"
        self._right = body
        return ""

    def _miscounted(self, found: Any, calls: set[int]) -> str:
        if len(found) != len(self.expected):
            return f"{found!r} is of another length"
        call = round(found[0] - self.expected[0])
        if call < 1 or call in calls:
            return f"call {call} was somebody else's too"
        calls.add(call)
        right = equality.compare(found, [value + call for value in self.expected], equality.DOUBLE).same
        return "" if right else f"{found!r} is not {self.expected!r} and {call}"


def questions(animal: str, count: int) -> list[Question]:
    """As many requests, the same at every start."""
    source = random.Random(f"visits {animal}")
    return [_question(animal, source) for _ in range(count)]


def _question(animal: str, source: random.Random) -> Question:
    rows = 1 if source.random() < 0.6 else source.randint(2, MOST_ROWS)
    columns: dict[str, list[Any]] = {
        "x": [source.choice([source.uniform(-9, 9), source.randint(-3, 3) * 1.0]) for _ in range(rows)],
        "n": [source.randint(-50, 50) for _ in range(rows)],
        "s": [source.choice(["a", "b", "ü", ""]) for _ in range(rows)],
    }
    if source.random() < _POISONED:
        columns["x"][source.randrange(rows)] = zoo.POISON * 10
    params = {"scale": source.choice([0.5, 2.0])} if source.random() < 0.2 else {}
    document = form(columns, source) | ({"params": params} if params else {})
    question = Question(animal, columns, params, _request(animal, json.dumps(document).encode()))
    _answer(question)
    return question


def _answer(question: Question) -> None:
    """Ask the animal itself."""
    if question.animal == "counter":
        question.expected = question.columns["x"]
        return
    function = {**zoo.ROW_WISE, **{name: make() for name, make in zoo.NOT_ROW_WISE.items()}}[question.animal]
    try:
        question.expected = plain(function(pd.DataFrame(question.columns), {"scale": 1.0, **question.params}))
    except ValueError:
        question.poisoned = True


def _request(animal: str, body: bytes) -> bytes:
    head = (
        f"POST /serving-endpoints/{endpoint(animal)}/invocations HTTP/1.1\r\nhost: zoo\r\n"
        f"authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def everything(count: int) -> list[Question]:
    """A corpus for so many visits, over all animals: each question is asked about fifty times, but by and by."""
    each = min(1000, max(100, count // (50 * len(ANIMALS))))
    return [question for animal in ANIMALS for question in questions(animal, each)]
