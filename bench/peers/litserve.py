"""LitServe."""

from bench.peers.peer import Peer, Start

_SOURCE = "https://lightning.ai/docs/litserve/features/batching"


def _peer(name: str, title: str, settings: str, batch_size: int) -> Peer:
    def command(start: Start) -> list[str]:
        arguments = (start.workload.model_dir, str(start.port), "1", str(batch_size), "0.001")
        return start.program("litserve_app.py", *arguments)

    return Peer(name, title, settings, _SOURCE, "litserve", command, path="/predict")


_COMMON = "the bare model, one worker, `fast_queue` (ZeroMQ), one API server, no access log"

PEERS = (
    _peer("litserve", "LitServe", _COMMON, 1),
    _peer(
        "litserve-batched",
        "LitServe, batched",
        f"{_COMMON}; `max_batch_size=64`, `batch_timeout` 1 ms",
        64,
    ),
)
