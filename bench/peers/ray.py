"""Ray Serve."""

from collections.abc import Mapping

from bench.peers.peer import Peer, Start

_SOURCE = "https://docs.ray.io/en/master/kuberay/user-guides/serve-high-throughput.html"
_COMMON = (
    "the bare model, one replica, `RAY_SERVE_THROUGHPUT_OPTIMIZED=1` and `RAY_SERVE_ENABLE_HA_PROXY=1`, "
    "`max_ongoing_requests=512`, no access log, no dashboard"
)


def _peer(name: str, title: str, settings: str, batch_size: int) -> Peer:
    def command(start: Start) -> list[str]:
        # no wait for more requests: at 64 connections a wait gains nothing, and at 1 it is all loss
        return start.program("ray_app.py", start.workload.model_dir, str(start.port), str(batch_size), "0")

    return Peer(
        name,
        title,
        settings,
        _SOURCE,
        "ray",
        command,
        environment=_environment,
    )


def _environment(start: Start) -> Mapping[str, str]:
    """What its documentation names for high throughput, and HAProxy's ports, which are fixed otherwise."""
    _, metrics, stats = start.ports
    return {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


PEERS = (
    _peer("ray", "Ray Serve", _COMMON, 1),
    _peer("ray-batched", "Ray Serve, batched", f"{_COMMON}; `@serve.batch`, `max_batch_size=64`, no wait", 64),
)
