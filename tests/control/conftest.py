"""The house as a fixture."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.control.house import House, a_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path / "data") as house:
        yield house
