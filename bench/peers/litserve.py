"""LitServe."""

from bench.peers.peer import Peer, Start

_SOURCE = "https://lightning.ai/docs/litserve/features/batching"
_BATCH_SIZE = 64


def _peer(name: str, title: str, settings: str, batch_size: int) -> Peer:
    def command(start: Start) -> list[str]:
        return start.program("litserve_app.py", start.workload.model_dir, str(start.port), str(batch_size))

    return Peer(name, title, settings, _SOURCE, "litserve", command, path="/predict")


_COMMON = "the bare model, one worker, `fast_queue` (ZeroMQ), one API server, no access log"

PEERS = (
    _peer("litserve", "LitServe", _COMMON, 1),
    _peer(
        "litserve-batched",
        "LitServe, batched",
        f"{_COMMON}; `max_batch_size={_BATCH_SIZE}`, `batch_timeout` 1 ms",
        _BATCH_SIZE,
    ),
)
