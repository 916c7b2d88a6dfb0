"""A dashboard over a house of fakes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.dashboard.web_house import WebHouse, a_web_house


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebHouse]:
    """A running dashboard without endpoints; `wine` has some 42 requests/s as soon as it is there."""
    async with a_web_house(tmp_path / "data", {"wine": 42.0}) as house:
        yield house
