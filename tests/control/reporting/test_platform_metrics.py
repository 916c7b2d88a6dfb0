"""The event loop goes on while the metrics of many endpoints are written."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client.core import Metric

from tests.control.house import House
from tidegate.control.endpoints import endpoint_queries
from tidegate.control.reporting import platform_metrics
from tidegate.control.reporting.metric_families import text
from tidegate.core.endpoint.status import EndpointStatus, project


async def test_nobody_waits_while_the_metrics_are_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    released, threads = threading.Event(), []

    def slowly(families: Iterable[Metric]) -> bytes:
        threads.append(threading.get_ident())
        assert released.wait(10)
        return text(families)

    monkeypatch.setattr(platform_metrics, "text", slowly)
    scrapes = [asyncio.create_task(house.metrics.platform()) for _ in range(3)]
    await house.create()
    await house.settle()
    assert len(threads) == 1  # the others wait for it: a crowd of scrapers has one thread
    assert threads[0] != threading.get_ident()
    released.set()
    texts = await asyncio.gather(*scrapes)
    assert all(b"tidegate_endpoint_ready" in one for one, _ in texts)
    assert b'tidegate_endpoint_ready{endpoint="wine"} 1.0' in (await house.metrics.platform())[0]


async def test_the_states_of_all_endpoints_are_told_by_a_thread(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.create()
    await house.settle()
    threads = []

    def noted(*arguments: Any) -> EndpointStatus:
        threads.append(threading.get_ident())
        return project(*arguments)

    monkeypatch.setattr(endpoint_queries, "project", noted)
    assert [view.endpoint.name for view in await house.endpoints.list()] == ["wine"]
    assert threads
    assert threading.get_ident() not in threads
