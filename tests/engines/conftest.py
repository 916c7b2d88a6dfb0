"""One machine per test."""

from collections.abc import AsyncIterator

import pytest

from tests.engines.machine import Machine


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    machine = Machine()
    yield machine
    await machine.close()
