"""Every address in every page of an endpoint, below a path: a proxy may offer the platform there."""

import re
from pathlib import Path

from tests.dashboard import stories
from tests.dashboard.web_house import WebHouse, a_web_house
from tidegate.public_url import PublicUrl

PREFIX = "/ml/tidegate"
PAGES = (
    *("", "/slow", "/rollouts", "/logs", "/logs?kind=build&find=wine", "/query", "/settings", "/events", "/update"),
    *("/rollouts/failed", "/head"),
)
_ADDRESS = re.compile(r'(?:href|src|action|hx-get|hx-post|data-stream|data-url|data-src)="([^"]*)"')


async def test_all_addresses_are_below_the_prefix_and_no_script_or_style_is_inline(tmp_path: Path) -> None:
    public = PublicUrl("https://example.org", PREFIX)
    async with a_web_house(tmp_path / "data", public_url=public) as web:
        await stories.held_back(web.house, "wine")
        await stories.split(web.house, "split")
        stories.slow(web.noted, "split")
        for name in ("wine", "split"):
            for page in PAGES:
                if (name, page) == ("split", "/rollouts/failed"):
                    continue
                text = await web.text(f"/endpoints/{name}{page}")
                wrong = [one for one in _ADDRESS.findall(text) if not one.startswith((f"{PREFIX}/", "?", "#"))]
                assert not wrong, (page, wrong)
                assert not re.findall(r"<[^>]*\s(?:style|on[a-z]+)=", text), page
                assert not re.findall(r"<script(?![^>]*(?:src=|application/json))", text), page
                assert "<script>alert" not in text, page
        assert f"https://example.org{PREFIX}/serving-endpoints/wine/invocations" in await web.text(
            "/endpoints/wine/query"
        )
        gone = await web.http.post("/endpoints/wine/rollback")
        assert gone.headers["location"].startswith(f"{PREFIX}/endpoints/wine/rollouts?flash=")


async def test_an_unknown_endpoint_has_no_page(web: WebHouse) -> None:
    for page in PAGES:
        answer = await web.http.get(f"/endpoints/none{page}")
        assert (answer.status_code, "There is no endpoint" in answer.text) == (404, True), page
