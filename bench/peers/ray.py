"""Ray Serve."""

from bench.peers.peer import Peer, Start

_SOURCE = "https://docs.ray.io/en/latest/serve/advanced-guides/performance.html"
_COMMON = (
    "the bare model, one replica, `max_ongoing_requests=512`, no access log, no dashboard, "
    "`RAY_SERVE_THROUGHPUT_OPTIMIZED=1`"
)


def _peer(name: str, title: str, settings: str, batch: str) -> Peer:
    def command(start: Start) -> list[str]:
        return start.program("ray_app.py", start.workload.model_dir, str(start.port), batch)

    return Peer(
        name,
        title,
        settings,
        _SOURCE,
        "ray",
        command,
        environment=lambda _: {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"},
    )


PEERS = (
    _peer("ray", "Ray Serve", _COMMON, "plain"),
    _peer("ray-batched", "Ray Serve, batched", f"{_COMMON}; `@serve.batch`, `max_batch_size=64`, wait 1 ms", "batched"),
)
