"""PyTriton: NVIDIA's Triton with a Python model, the strongest peer."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from bench.peers.peer import Peer, Start
from bench.peers.workload import Workload

_SOURCE = "https://triton-inference-server.github.io/pytriton/latest/reference/model_config/"


def _command(start: Start) -> list[str]:
    http, grpc, metrics = start.ports[:3]
    return start.program("pytriton_app.py", start.workload.model_dir, str(http), str(grpc), str(metrics))


def _environment(start: Start) -> Mapping[str, str]:
    """Triton's Python backend loads libpython, which is not where the loader looks."""
    question = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
    asked = subprocess.run([str(start.python), "-c", question], capture_output=True, text=True, check=True)
    return {"LD_LIBRARY_PATH": asked.stdout.strip(), "HOME": str(start.folder)}


def _body(workload: Workload) -> str:
    rows = workload.case["data"]
    tensor = {"name": "rows", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": rows}
    return json.dumps({"inputs": [tensor]})


def _outputs(answer: Any) -> Any:
    return answer["outputs"][0]["data"]


PEERS = (
    Peer(
        "pytriton",
        "PyTriton, batched",
        "the bare model in one instance, dynamic batcher with `max_batch_size` 64 and no queue delay (its default)",
        _SOURCE,
        "pytriton",
        _command,
        path="/v2/models/model/infer",
        body=_body,
        read=_outputs,
        environment=_environment,
        python_version="3.12",
    ),
)
