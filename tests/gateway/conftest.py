"""The gateway's tests run on the gateway's own event loop."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as in production: it differs from asyncio's own loop in small things that matter."""
    return {"uvloop": uvloop.new_event_loop}
