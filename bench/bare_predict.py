"""The served model by itself, in its own environment and in the form of input that its replica gives it.

`python bare_predict.py OVERLAY MODEL_DIR FORM`, with a request's body as the first line of standard input. For each
further line, a number of seconds, it prints the median of `predict` over so long, in milliseconds.
"""

import statistics
import sys
import time
from typing import Any, Callable  # noqa: UP035 - the environment may have Python 3.8


def main(overlay: str, model_dir: str, form: str) -> None:
    """Load, build the input once, measure when told."""
    sys.path.append(overlay)
    from tidegate_worker.fast import choose_path
    from tidegate_worker.model.loaded_model import Model

    body = sys.stdin.readline().strip().encode()
    model = Model.load(model_dir)
    scorer, path = choose_path.recompile(model, choose_path.Path(choose_path.COMPILED, form))
    assert scorer is not None, path.reason
    parsed = scorer.parse(b"", body)
    assert parsed is not None
    data, predict = scorer.build([parsed]), model.pyfunc.get_raw_model().predict
    predict(data)
    for line in iter(sys.stdin.readline, ""):
        print(median(predict, data, float(line)), flush=True)


def median(predict: Callable[[Any], Any], data: Any, seconds: float) -> float:
    """The median of single calls, in milliseconds."""
    times, ends = [], time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.perf_counter()
        predict(data)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main(*sys.argv[1:4])
