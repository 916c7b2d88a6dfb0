"""A Prometheus server."""

import contextlib
from collections.abc import Iterator

import httpx

from tests.services.process import Program, folder, free_port, running
from tests.services.programs import PROMETHEUS

_CONFIGURATION = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
- job_name: tests
  metrics_path: {path}
  authorization: {{credentials: "{token}"}}
  static_configs: [{{targets: ["{target}"]}}]
"""


@contextlib.contextmanager
def prometheus_server(
    target: str, path: str = "/metrics", token: str = "none", *, native_histograms: bool = False
) -> Iterator[str]:
    """A Prometheus that scrapes `target` (host:port) five times a second; its URL."""
    with folder() as home:
        port = free_port()
        url, file = f"http://127.0.0.1:{port}", home / "prometheus.yml"
        file.write_text(_CONFIGURATION.format(target=target, path=path, token=token))

        def ready() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{url}/-/ready").status_code == 200
            return False

        words = [
            PROMETHEUS.program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={home}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            *["--enable-feature=native-histograms"] * native_histograms,
        ]  # fmt: skip
        with running(Program(words), home / "log", ready):
            yield url
