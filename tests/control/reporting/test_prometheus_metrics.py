"""What is exported, read back by Prometheus' own parser."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.control.house import House, until
from tests.control.series.scene import Scene
from tidegate.control.reporting import protobuf_format
from tidegate.control.reporting.prometheus_metrics import Metrics
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import CELL_BOUNDS, LATENCY_BUCKETS
from tidegate.core.planes.load_report import Histogram, RevisionLoad

COLD = "tidegate_cold_start_seconds"
BUCKETS = len(LATENCY_BUCKETS) + 1


def a_ledger(ok: int, bad: int = 0) -> Account:
    counts = (ok, bad) + (0,) * (BUCKETS - 2)
    return Account(
        accepted=ok + bad,
        answered=ok + bad,
        statuses={200: ok, 503: bad},
        coarse=counts,
        latency_sum=0.5,
        cold_starts=1,
        cold_requests=ok,
    )


async def report(house: House) -> None:
    house.gateway.report()
    await until(lambda: any(r.endpoints == house.gateway.endpoints for r in house.gateways.reports))


def samples(text: bytes) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


async def test_the_platform_is_exported_whole(house: House) -> None:
    await house.create()
    await house.settle()
    (rid,) = house.engine.held
    house.gateway.endpoints["wine"] = a_ledger(3, 1)
    house.gateway.refused[401] = 2
    house.gateway.cold_seconds["fork total"] = Histogram((0, 2) + (0,) * (BUCKETS - 2), 0.0015)
    ((rid, seen),) = house.engine.held.items()
    house.engine.held[rid] = replace(seen, replicas=tuple(replace(r, memory_bytes=5) for r in seen.replicas))
    await house.passes(1)
    house.gateway.revisions[rid] = RevisionLoad(in_flight=1, queued=2, busy_seconds=1.5, reruns=1)
    await report(house)
    found = samples((await house.metrics.platform())[0])
    assert [(s.labels, s.value) for s in found["tidegate_requests_total"]] == [({"endpoint": "wine"}, 4.0)]
    assert {s.labels["status"]: s.value for s in found["tidegate_responses_total"]} == {"200": 3.0, "503": 1.0}
    assert {s.labels["outcome"]: s.value for s in found["tidegate_request_outcomes_total"]}["answered"] == 4.0
    assert found["tidegate_refused_total"][0].value == 2.0
    assert (found["tidegate_cold_starts_total"][0].value, found["tidegate_cold_requests_total"][0].value) == (1.0, 3.0)
    cold = {s.labels["le"]: (s.labels["mode"], s.labels["phase"], s.value) for s in found[f"{COLD}_bucket"]}
    assert (cold["0.0005"], cold["+Inf"]) == (("fork", "total", 0.0), ("fork", "total", 2.0))
    assert found[f"{COLD}_sum"][0].value == 0.0015
    assert [(s.labels["revision"], s.value) for s in found["tidegate_replica_memory_bytes"]] == [(rid, 5.0)]
    buckets = {s.labels["le"]: s.value for s in found["tidegate_request_seconds_bucket"]}
    assert (buckets["0.0005"], buckets["0.001"], buckets["+Inf"]) == (3.0, 4.0, 4.0)
    assert found["tidegate_request_seconds_sum"][0].value == 0.5
    labels = {"endpoint": "wine", "revision": rid}
    for name, value in (("in_flight", 1), ("queued", 2), ("reruns_total", 1), ("busy_seconds_total", 1.5)):
        assert [(s.labels, s.value) for s in found[f"tidegate_{name}"]] == [(labels, value)]
    assert {s.labels["state"]: s.value for s in found["tidegate_replicas"]} == {
        "starting": 0.0, "ready": 1.0, "draining": 0.0,
    }  # fmt: skip
    assert found["tidegate_endpoint_ready"][0].value == 1.0
    assert found["tidegate_gateways"][0].value == 1.0
    assert {s.labels["result"]: s.value for s in found["tidegate_builds_total"]} == {"done": 1.0, "failed": 0.0}


async def test_an_endpoints_export_is_its_last_minute(house: House) -> None:
    await house.create()
    await house.settle()
    await seconds(house, 2)
    house.gateway.endpoints["wine"] = a_ledger(100)
    await seconds(house, 1)
    await seconds(house, 61)
    house.gateway.endpoints["wine"] = a_ledger(101, 2)
    await seconds(house, 4)
    found = samples(await house.metrics.endpoint("wine"))
    assert found["request_count_total"][0].value == 3.0
    assert found["request_5xx_count_total"][0].value == 2.0
    assert found["request_4xx_count_total"][0].value == 0.0
    assert found["provisioned_concurrent_requests_total"][0].value == 1.0
    await seconds(house, 62)
    assert samples(await house.metrics.endpoint("wine"))["request_count_total"][0].value == 0.0


async def test_the_latencies_of_the_export_are_those_of_the_series() -> None:
    scene = Scene()
    scene.own(Endpoint("1", "wine", "admin", 1.0, 1.0))
    metrics = Metrics(scene.link, scene.world, scene.link, scene.series, scene.clock)
    await scene.second(2)
    await scene.serve(5, 4, cell=bisect_left(CELL_BOUNDS, 0.02))
    await scene.second(2)
    found = samples(await metrics.endpoint("wine"))
    counts = {sample.labels["le"]: sample.value for sample in found["request_latency_ms_bucket"]}
    assert (counts["10"], counts["25"], counts["+Inf"]) == (0.0, 20.0, 20.0)
    assert found["request_latency_ms_sum"][0].value == pytest.approx(20 * 20.0, rel=0.03)


async def seconds(house: House, count: int) -> None:
    """Let seconds pass, each with a report and a look of the recorder."""
    for _ in range(count):
        house.clock.advance(1)
        house.gateway.refused[0] = seen = house.gateway.refused.get(0, 0) + 1
        house.gateway.report()
        await until(lambda: any(report.refused.get(0) == seen for report in house.gateways.reports))  # noqa: B023
        await house.control.recorder.run_once()


async def test_the_export_of_an_endpoint_that_nobody_has_asked_is_zero(house: House) -> None:
    await house.create()
    await house.settle()
    found = samples(await house.metrics.endpoint("wine"))
    assert found["request_count_total"][0].value == 0.0
    assert found["request_latency_ms_count"][0].value == 0.0


async def test_native_histograms_have_every_latency_those_of_an_older_ledger_too(house: House) -> None:
    await house.create()
    await house.settle()
    house.gateway.endpoints["wine"] = a_ledger(3, 1)._replace(cells={0: 2, 300: 5, 686: 1}, answered=12, accepted=12)
    await report(house)
    body, kind = await house.metrics.platform(
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain"
    )
    assert kind.startswith("application/vnd.google.protobuf")
    (found,) = [family for family in protobuf_families(body) if family.name == "tidegate_request_seconds"]
    (metric,) = found.metric
    histogram = metric.histogram
    counts = list(accumulate(histogram.positive_delta))
    assert histogram.schema == 5
    assert histogram.sample_count == 12 == histogram.zero_count + sum(counts)
    assert (histogram.zero_count, sum(span.length for span in histogram.positive_span)) == (2, len(counts))
    assert histogram.bucket[-1].cumulative_count == 12


def protobuf_families(body: bytes) -> Iterator[Any]:
    """The families of the protobuf format, read back."""
    at = 0
    while at < len(body):
        length, shift = 0, 0
        while True:
            byte = body[at]
            at, length, shift = at + 1, length | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
        yield protobuf_format._CLASSES["MetricFamily"].FromString(body[at : at + length])
        at += length
