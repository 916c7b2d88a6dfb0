"""What holds for all pages as they are sent."""

import re

import httpx
import pytest

from tests.dashboard.model_scene import register
from tests.dashboard.web_house import WebHouse

MOST_BYTES = 60_000


async def sent(web: WebHouse, path: str) -> tuple[int, httpx.Response]:
    """The bytes of a body as they are sent, and the answer."""
    async with web.http.stream("GET", path, headers={"accept-encoding": "gzip"}) as answer:
        await answer.aread()
        return answer.num_bytes_downloaded, answer


@pytest.mark.parametrize("path", ["/", "/endpoints/wine", "/models", "/platform"])
async def test_a_first_visit_takes_few_bytes(web: WebHouse, path: str) -> None:
    web.series.rates["wine"] = 4200.0
    register(web)
    await web.ready("wine", *(f"endpoint-{number}" for number in range(49)))
    total, answer = await sent(web, path)
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"].lower()
    files = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text))
    assert len(files) > 4
    for file in files:
        total += (await sent(web, file))[0]
    assert total <= MOST_BYTES


async def test_who_takes_no_gzip_gets_none(web: WebHouse) -> None:
    answer = await web.http.get("/models", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in answer.headers
