"""Prometheus' protobuf format: a real Prometheus reads it, and its histograms are native."""

import contextlib
import functools
import http.server
import math
import random
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.services.prometheus import prometheus_server
from tidegate.control.reporting import protobuf_format
from tidegate.control.reporting.metric_families import counter, gauge
from tidegate.core.series.latency_histogram import bucket_of
from tidegate.telemetry import Metric

COUNTER = Metric("t_requests", "counter", "Requests.", ("endpoint",))
READY = 't_ready{endpoint="ä\\n"}'
GAUGE = Metric("t_ready", "gauge", 'With "quotes".', ("endpoint",))


def latencies(seed: int) -> list[float]:
    draw = random.Random(seed)
    return [draw.lognormvariate(math.log(0.02), 0.6) for _ in range(5000)]


def counted(values: list[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for value in values:
        found[bucket_of(value)] = found.get(bucket_of(value), 0) + 1
    return found


def page(times: int) -> bytes:
    """What is scraped: counters that have grown `times` times, and a histogram of as many drawings."""
    from prometheus_client.core import HistogramMetricFamily

    values = latencies(7) * times
    family = HistogramMetricFamily("t_seconds", "Latency.", labels=("endpoint",))
    family.add_metric(("a",), buckets=[("0.1", 10), ("+Inf", len(values))], sum_value=sum(values))
    families = [counter(COUNTER, [(("a",), 10 * times)]), gauge(GAUGE, [(("ä\n",), 1.5)]), family]
    return protobuf_format.protobuf(families, {"t_seconds": {("a",): (counted(values), sum(values))}})


class _Scraped(http.server.BaseHTTPRequestHandler):
    times = 0

    def do_GET(self) -> None:
        assert protobuf_format.accepts(self.headers["accept"])
        type(self).times += 1
        body = page(self.times)
        self.send_response(200)
        self.send_header("content-type", protobuf_format.CONTENT_TYPE)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def scraped() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Scraped)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_real_prometheus_reads_native_histograms() -> None:
    wanted = sorted(latencies(7))
    with scraped() as target, prometheus_server(target, native_histograms=True) as url:

        def ask(query: str) -> list[dict[str, list[object]]]:
            found = httpx.get(f"{url}/api/v1/query", params={"query": query}).json()
            return list(found["data"]["result"])

        deadline = time.monotonic() + 30
        while not (found := ask("histogram_quantile(0.99, rate(t_seconds[1m]))")):
            assert time.monotonic() < deadline, "Prometheus has no native histogram"
            time.sleep(0.2)
        assert float(str(found[0]["value"][1])) == pytest.approx(wanted[int(0.99 * len(wanted))], rel=0.03)
        for query, value in (("histogram_count(t_seconds)", ""), ("t_requests_total", ""), (READY, "1.5")):
            while not (found := ask(query)):  # a scrape that took too long makes the others stale
                assert time.monotonic() < deadline, f"Prometheus has no {query}"
                time.sleep(0.2)
            assert value in ("", found[0]["value"][1])


def test_text_is_for_those_who_do_not_ask_for_protobuf() -> None:
    assert not protobuf_format.accepts("")
    assert not protobuf_format.accepts("application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1")
    assert not protobuf_format.accepts(
        "text/plain, application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily"
    )
    assert protobuf_format.accepts(
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,text/plain;q=0.4"
    )
