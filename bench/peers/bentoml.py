"""BentoML."""

import json

from bench.peers.peer import Peer, Start
from bench.peers.workload import Workload

_SOURCE = "https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html"
_COMMON = "`bentoml serve` in production mode, the bare model, an ndarray in and out, one worker, no access log"


def _body(workload: Workload) -> str:
    return json.dumps({"rows": workload.case["data"]})


def _peer(name: str, title: str, settings: str, service: str) -> Peer:
    def command(start: Start) -> list[str]:
        serve = [str(start.python), "-m", "bentoml", "serve", f"bentoml_app:{service}"]
        return [*serve, "--working-dir", str(start.program("")[1]), "--host", "127.0.0.1", "--port", str(start.port)]

    return Peer(
        name,
        title,
        settings,
        _SOURCE,
        "bentoml",
        command,
        path="/predict",
        body=_body,
        read=lambda answer: answer,
        environment=lambda start: {
            "MODEL": start.workload.model_dir,
            "BENTOML_HOME": str(start.folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        },
    )


PEERS = (
    _peer("bentoml", "BentoML", _COMMON, "Plain"),
    _peer("bentoml-batched", "BentoML, batchable", f"{_COMMON}; `batchable`, `max_batch_size=64`", "Batched"),
)
