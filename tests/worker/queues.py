"""A batcher with its queue and reviewer, but without sockets and processes: a test takes the server's steps itself."""

import itertools
import json
import random
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import mlflow.pyfunc
from mlflow.models import Model as Metadata
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema

from tests.worker.zoo import Animal, Function
from tidegate_worker.batching.arrivals import QueuedRequest
from tidegate_worker.batching.batcher import Batcher
from tidegate_worker.batching.reviewer import Reviewer
from tidegate_worker.ipc import wire
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.process.launch import Launch
from tidegate_worker.proof.refutations import Refutations
from tidegate_worker.startup import serving

WORDS = ["a", "b", "ü", ""]
ZOO = ModelSignature(
    Schema([ColSpec("double", "x"), ColSpec("long", "n"), ColSpec("string", "s")]),
    params=ParamSchema([ParamSpec("scale", "double", 1.0)]),
)


def launch(**changes: Any) -> Launch:
    """A launch document with what matters here."""
    return Launch("r", "e", "s", "nowhere", "", "", 30.0, 30.0, True)._replace(**changes)


def animal(function: Function) -> Model:
    """A model of the zoo in the worker's hands."""
    metadata = Metadata(signature=ZOO, flavors={"python_function": {"loader_module": "tests.worker.zoo"}})
    return Model(mlflow.pyfunc.PyFuncModel(model_meta=metadata, model_impl=Animal(function)))


def request(number: int, document: Any, flags: int = 0, content_type: str = "application/json") -> wire.Request:
    """A request as a gateway sends it."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    meta = wire.pack_meta([("request-id", f"r-{number}"), ("content-type", content_type)])
    return wire.Request(number, 30_000, flags, meta, body)


class House:
    """A batcher, its reviewer and its queue. `sizes` are those of the batches so far."""

    def __init__(self, model: Model, **changes: Any) -> None:
        self.model = model
        told = launch(**changes)
        plan = serving.plan_on_record(told) or serving.plan_by_trial(model, told)
        self.batcher: Batcher = serving.batcher_of(model, told, plan)
        self.reviewer = Reviewer(self.batcher, Refutations(changes.get("refutations_file", "")))
        self.queue: OrderedDict[tuple[int, int], QueuedRequest] = OrderedDict()
        self.sizes: list[int] = []
        self._turns = itertools.count()
        self.whole_trials = True  # a trial is not done piece by piece between batches
        self._connection: Any = SimpleNamespace(socket=SimpleNamespace(fileno=lambda: 7))

    def put(self, request: wire.Request, seconds: float = 30.0) -> None:
        """Put a request into the queue; its deadline is `seconds` from now."""
        now = time.monotonic()
        self.queue[7, request.id] = QueuedRequest(self._connection, request, now + seconds, now)

    def step(self) -> list[wire.Answer]:
        """Answer one batch."""
        self.reviewer.apply_refutations(next(self._turns))
        batch = self.batcher.take(self.queue, time.monotonic())
        answers = self.batcher.answer(batch)
        self.reviewer.review(batch, answers)
        if self.whole_trials:
            self.reviewer.continue_trial(60.0)
        self.sizes.append(len(batch))
        return answers

    def answers(self, requests: Sequence[wire.Request]) -> Iterator[wire.Answer]:
        """Put all of them into the queue, and answer them."""
        for each in requests:
            self.put(each)
        while self.queue:
            yield from self.step()

    def warm(self, requests: int = 400) -> "House":
        """Send usual rows until they have proved or refused batching, at most so many."""
        source = random.Random(9)
        for number in range(requests):
            if not self.batcher.serving.verdict.thin:
                break
            columns = {"x": source.uniform(-9, 9), "n": source.randint(-50, 50), "s": source.choice(WORDS)}
            list(self.answers([request(number, {"dataframe_records": [columns]})]))
        self.sizes.clear()
        return self
