"""The gateway's tests run on the gateway's own event loop."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tidegate.gateway.links import control_link


@pytest.fixture(autouse=True)
def frequent_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways report ten times as often, so that nobody has to wait for what they say."""
    monkeypatch.setattr(control_link, "REPORT_SECONDS", 0.1)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as in production: it differs from asyncio's own loop in small things that matter."""
    return {"uvloop": uvloop.new_event_loop}
