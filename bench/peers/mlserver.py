"""MLServer with its MLflow runtime, which MLflow recommends for production."""

import json
from typing import Any

from bench.peers.peer import Peer, Start
from bench.peers.workload import Workload

_SOURCE = "https://docs.seldon.ai/mlserver/user-guide/adaptive-batching"
_COMMON = "its MLflow runtime (pyfunc), no access log, uvloop 0.21"


def _v2_body(workload: Workload) -> str:
    """The Open Inference Protocol, one tensor a column, as the signature has them."""
    columns, rows = workload.case["columns"], workload.case["data"]
    inputs = [
        {"name": name, "shape": [len(rows), 1], "datatype": "FP64", "data": [row[index] for row in rows]}
        for index, name in enumerate(columns)
    ]
    return json.dumps({"parameters": {"content_type": "pd"}, "inputs": inputs})


def _outputs(answer: Any) -> Any:
    return answer["outputs"][0]["data"]


def _command(start: Start, workers: int = 1, **model: Any) -> list[str]:
    http, grpc, metrics = start.ports[:3]
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "metrics_dir": str(start.folder),
        "environments_dir": str(start.folder / "environments"),
        "parallel_workers": workers,
    }
    runtime: dict[str, Any] = {"name": "model", "implementation": "mlserver_mlflow.MLflowRuntime"}
    runtime |= {"parameters": {"uri": start.workload.model_dir}, **model}
    (start.folder / "settings.json").write_text(json.dumps(settings))
    (start.folder / "model-settings.json").write_text(json.dumps(runtime))
    return [str(start.python.with_name("mlserver")), "start", str(start.folder)]


PEERS = (
    Peer(
        "mlserver",
        "MLServer, /invocations",
        f"{_COMMON}; MLflow's own form, one inference worker (its default)",
        _SOURCE,
        "mlserver",
        _command,
    ),
    Peer(
        "mlserver-batched",
        "MLServer, V2, batched",
        f"{_COMMON}; Open Inference Protocol with `max_batch_size` 64, `max_batch_time` 10 ms, `parallel_workers` 0",
        _SOURCE,
        "mlserver",
        lambda start: _command(start, workers=0, max_batch_size=64, max_batch_time=0.01),
        path="/v2/models/model/infer",
        body=_v2_body,
        read=_outputs,
    ),
)
