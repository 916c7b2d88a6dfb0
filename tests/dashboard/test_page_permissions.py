"""What pages and actions ask of a caller."""

from pathlib import Path

import pytest

from tests.dashboard.web_house import a_web_house
from tidegate.core.access.permissions import PLATFORM, Action, Kind, Resource
from tidegate.dashboard.page_permissions import Rule, rule

ENDPOINTS, WINE, MODEL = Resource(Kind.ENDPOINT), Resource(Kind.ENDPOINT, "wine"), Resource(Kind.MODEL, "wine")


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        ("GET /login", None),
        ("POST /login", None),
        ("POST /logout", None),
        ("GET /favicon.ico", None),
        ("GET /", (Action.VIEW, ENDPOINTS)),
        ("HEAD /find", (Action.VIEW, ENDPOINTS)),
        ("GET /live/endpoints", (Action.VIEW, ENDPOINTS)),
        ("POST /endpoints", (Action.CREATE, ENDPOINTS)),
        ("GET /endpoints/wine", (Action.VIEW, WINE)),
        ("GET /live/endpoints/wine", (Action.VIEW, WINE)),
        ("GET /endpoints/wine/rollouts/3", (Action.VIEW, WINE)),
        ("GET /endpoints/wine/query", (Action.QUERY, WINE)),
        ("POST /endpoints/wine/invocations", (Action.QUERY, WINE)),
        ("POST /endpoints/wine/rollback", (Action.MANAGE, WINE)),
        ("DELETE /endpoints/wine", (Action.MANAGE, WINE)),
        ("GET /models", (Action.VIEW, Resource(Kind.MODEL))),
        ("GET /models/wine", (Action.VIEW, MODEL)),
        ("POST /models/wine/enable", (Action.MANAGE, MODEL)),
        ("POST /models/wine/launch", (Action.CREATE, ENDPOINTS)),
        ("GET /platform", (Action.VIEW, PLATFORM)),
        ("POST /platform/x", (Action.ADMINISTER, PLATFORM)),
        ("GET /what/nobody/knows", (Action.ADMINISTER, PLATFORM)),
        ("POST /", (Action.ADMINISTER, PLATFORM)),
    ],
)
def test_what_an_address_does(call: str, asked: Rule | None) -> None:
    assert rule(*call.split(" ")) == asked


async def test_whoever_may_not_is_told_on_a_page_and_whoever_is_not_known_gets_none(tmp_path: Path) -> None:
    async with a_web_house(tmp_path) as web:
        for path in ("/", "/endpoints/wine", "/nothing"):
            answer = await web.http.get(path, headers={"x-tidegate-principal": "maria"})
            assert answer.status_code == 403, path
            assert "may not" in answer.text
            assert "content-security-policy" in answer.headers
            assert (await web.http.get(path, headers={"x-tidegate-address": "10.0.0.1"})).status_code == 401
        assert (await web.http.get("/login", headers={"x-tidegate-address": "10.0.0.1"})).status_code == 200
