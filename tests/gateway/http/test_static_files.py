"""Static files as the gateway answers them: from memory and without a token."""

from pathlib import Path

import httpx

from tests.gateway.house import house
from tidegate.web_assets import WebAssets


async def test_the_gateway_answers_static_files_without_a_token(tmp_path: Path) -> None:
    url = WebAssets.load().url("favicon.svg")
    async with house(tmp_path) as home, httpx.AsyncClient(base_url=home.url) as browser:
        full = await browser.get(url)
        head = await browser.head(url)
        known = await browser.get(url, headers={"if-none-match": full.headers["etag"]})
        unknown = await browser.get("/static/favicon.svg")
        posted = await browser.post(url, content=b"x")
        outside = await browser.get("/static%2f..%2fweb_assets.py")
    assert full.status_code == 200
    assert full.headers["content-type"] == "image/svg+xml"
    assert "immutable" in full.headers["cache-control"]
    assert b"<svg" in full.content
    assert (head.status_code, head.headers["content-length"], head.content) == (
        200, full.headers["content-length"], b"",
    )  # fmt: skip
    assert (known.status_code, known.content) == (304, b"")
    assert "content-length" not in known.headers
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
    assert outside.status_code in {401, 404}
