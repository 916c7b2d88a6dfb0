"""What a request costs inside the worker, step by step, beside the bare `predict`: `python -m bench.micro`.

Times are of the processor, in microseconds, the least of several rounds. The model is scikit-learn's iris classifier
with a signature, saved and loaded by MLflow; a table of 600 columns is there too.
"""

import json
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tidegate_worker.batching.arrivals import QueuedRequest
from tidegate_worker.batching.batcher import Batcher
from tidegate_worker.ipc import wire
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.process.launch import Launch
from tidegate_worker.startup import serving

ROUNDS, SECONDS = 5, 0.2
FIGURES = ("parse", "build", "predict", "encode", "whole request", "bare predict")
META = b"request-id=0123456789abcdef0123456789abcdef\ncontent-type=application/json"


def save(folder: Path, columns: int) -> Path:
    """A classifier of that many columns; of 4, it is iris."""
    import mlflow
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    data, target = load_iris(return_X_y=True, as_frame=True)
    if columns != 4:
        values = np.random.default_rng(0).normal(size=(len(target), columns))
        data = pd.DataFrame(values, columns=[f"column_{at}" for at in range(columns)])
    model = LogisticRegression(max_iter=500).fit(data, target)
    signature = infer_signature(data, model.predict(data))
    path = folder / f"model-{columns}"
    mlflow.sklearn.save_model(model, path, signature=signature, input_example=data.head(2), pip_requirements=[])
    return path


def micros(call: Callable[[], Any]) -> float:
    """Processor time of one call."""
    call()
    best = float("inf")
    for _ in range(ROUNDS):
        count, began, wall = 0, time.process_time(), time.perf_counter()
        while time.perf_counter() - wall < SECONDS:
            call()
            count += 1
        best = min(best, (time.process_time() - began) / count)
    return best * 1e6


def body(model: Model, rows: int) -> bytes:
    """A request of so many rows."""
    names = [column.name for column in model.signature.columns]
    data = [[round(1.0 + (row + at) % 7 * 0.3, 3) for at in range(len(names))] for row in range(rows)]
    return json.dumps({"dataframe_split": {"columns": names, "data": data}}).encode()


def whole(batcher: Batcher, frame: bytes) -> Callable[[], None]:
    """All that the worker does for a frame of requests, but for the sockets."""
    connection: Any = SimpleNamespace(socket=SimpleNamespace(fileno=lambda: 7))

    def answer() -> None:
        queue: OrderedDict[tuple[int, int], QueuedRequest] = OrderedDict()
        now = time.monotonic()
        [(_, payload)] = wire.Frames().feed(frame)
        for request in wire.unpack_requests(payload):
            queue[7, request.id] = QueuedRequest(connection, request, now + 30, now)
        while queue:
            wire.pack_answers(batcher.answer(batcher.take(queue, now)))

    return answer


def measure(path: Path, rows: int) -> dict[str, float | str]:
    """The steps of one request of so many rows, and of a batch of 64 where it has one row."""
    model = Model.load(str(path))
    launch = Launch("r", "e", "s", str(path), "", "", 30.0, 30.0, True)
    batcher = serving.batcher_of(model, launch, serving.plan_by_trial(model, launch))
    scorer, text = batcher.serving.scorer, body(model, rows)
    assert scorer is not None
    parsed = scorer.parse(META, text)
    assert parsed is not None
    data = scorer.build([parsed])
    output = scorer.predict(data)
    answers = scorer.split(output, [rows]).answers
    request = wire.Request(1, 30_000, 0, META, text)
    bare = model.pyfunc.get_raw_model().predict
    found: dict[str, float | str] = {
        "input": scorer.form,
        "bytes": len(text),
        "parse": micros(lambda: scorer.parse(META, text)),
        "build": micros(lambda: scorer.build([parsed])),
        "predict": micros(lambda: scorer.predict(data)),
        "encode": micros(lambda: scorer.encode(scorer.split(output, [rows]).answers[0])),
        "whole request": micros(whole(batcher, wire.pack_requests([request]))),
        "bare predict": micros(lambda: bare(data)),
        "stock path": micros(lambda: model.answer(request)),
    }
    assert answers
    if rows == 1:
        group = wire.pack_requests([request._replace(id=number) for number in range(64)])
        found["whole request, in a batch of 64"] = micros(whole(batcher, group)) / 64
    return found


def main() -> None:
    """Print the table as Markdown with lines `FIGURE …`, or as JSON with `--json`."""
    cases = {"iris, 1 row": (4, 1), "600 columns, 1 row": (600, 1), "600 columns, 1,000 rows": (600, 1000)}
    with tempfile.TemporaryDirectory() as folder:
        models = {columns: save(Path(folder), columns) for columns in {columns for columns, _ in cases.values()}}
        found = {name: measure(models[columns], rows) for name, (columns, rows) in cases.items()}
    if "--json" in sys.argv:
        print(json.dumps(found, indent=2))
        return
    steps = list(dict.fromkeys(step for case in found.values() for step in case))
    print("| µs of processor time |" + "".join(f" {name} |" for name in found))
    print("|---|" + "---|" * len(found))
    for step in steps:
        cells = [case.get(step, "") for case in found.values()]
        print(f"| {step} |" + "".join(f" {cell:,.1f} |" if isinstance(cell, float) else f" {cell} |" for cell in cells))
    for name, case in found.items():
        told = ", ".join(f"{step} {case[step]:,.1f} µs" for step in FIGURES)
        print(f"FIGURE worker, {name}, {case['input']}: {told}")


if __name__ == "__main__":
    main()
