"""How fast the model itself predicts, without a server: `in_process.py MODEL ROW.json SECONDS bare|pyfunc ROWS`."""

import json
import sys
import time
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
from saved_model import load


def main(model_dir: str, row: str, seconds: float, form: str, rows: int) -> None:
    """Print the latency of each call in milliseconds, as wrk's figures are."""
    case = json.loads(Path(row).read_text())
    data = case["data"][:1] * rows
    if form == "pyfunc":
        predict, asked = mlflow.pyfunc.load_model(model_dir).predict, pd.DataFrame(data, columns=case["columns"])
    else:
        predict, asked = load(model_dir).predict, np.array(data)
    for _ in range(200):
        predict(asked)
    times, end = [], time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        predict(asked)
        times.append(time.perf_counter() - begin)
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    print(json.dumps({"requests_per_second": len(times) / sum(times), "p50": p50, "p99": p99, "failed": 0}))


main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
