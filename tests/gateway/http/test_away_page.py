"""A browser sees a page while control is away; programs get the error."""

from pathlib import Path

import pytest

from tests.gateway.http.upstream import raw_house
from tidegate.web_assets import WebAssets

BROWSER = {"sec-fetch-mode": "navigate", "accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/", "/endpoints/wine?hours=1", "/login", "/metrics-of-mine"])
async def test_a_page_comes_back_by_itself_while_control_is_away(tmp_path: Path, path: str) -> None:
    async with raw_house(tmp_path) as place:
        place.control.kill()
        answer = await place.home.client.get(path, headers=BROWSER)
    assert answer.status_code == 503
    assert (answer.headers["refresh"], answer.headers["retry-after"]) == ("2", "1")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "Models go on serving; this page comes back by itself." in answer.text
    assert f'href="{WebAssets.load().url("favicon.svg")}"' in answer.text
    assert "style=" not in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/api/2.0/serving-endpoints", BROWSER),
        ("GET", "/metrics", BROWSER),
        ("GET", "/mlflow/", BROWSER),
        ("POST", "/endpoints/wine/delete", BROWSER | {"sec-fetch-site": "same-origin"}),
        ("GET", "/endpoints/wine", BROWSER | {"sec-fetch-mode": "cors"}),
        ("GET", "/endpoints/wine", BROWSER | {"accept": "*/*"}),
        ("GET", "/endpoints/wine", {}),
    ],
)
async def test_others_get_the_error(tmp_path: Path, method: str, path: str, headers: dict[str, str]) -> None:
    async with raw_house(tmp_path) as place:
        place.control.kill()
        place.registry.kill()
        answer = await place.home.client.request(method, path, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "refresh" not in answer.headers
