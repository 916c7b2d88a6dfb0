"""Who calls control, as the gateway says it, and that every route asks whether they may."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from tests.api.conftest import Api
from tests.control.house import TOKEN
from tidegate import http
from tidegate.api import classic, serverless
from tidegate.api.rest_api import create_app
from tidegate.api.route_permissions import RULES
from tidegate.core.access import permissions
from tidegate.core.access.permissions import Action, Kind, Refusal, Resource
from tidegate.core.access.principal import Principal

URL = "/api/2.0/serving-endpoints"
MARIA = {"x-tidegate-principal": "maria"}
MODEL = {"registered_model_name": "wine"}
BODY = {"name": "tea", "config": {"served_entities": [{"entity_name": "wine", "entity_version": "1"}]}}


def the_app(api: Api) -> FastAPI:
    house = api.house
    return create_app(*house.faces)


async def test_who_is_not_named_is_refused_and_only_gateways_name(api: Api) -> None:
    async with httpx.AsyncClient(base_url="http://x", transport=httpx.ASGITransport(the_app(api))) as nobody:
        for path in (URL, "/metrics", "/nothing"):
            answer = await nobody.get(path)
            assert answer.status_code == 401
            assert answer.json()["error_code"] == "UNAUTHENTICATED"
            assert "www-authenticate" not in answer.headers
        assert (await nobody.get("/api/openapi.json")).status_code == 200


async def test_a_session_is_checked_here_too_and_prolonged_by_its_use(api: Api) -> None:
    session = await api.house.sessions.log_in(TOKEN)
    digest = http.token_hash(session.secret)
    by_session = {"x-tidegate-principal": "admin", "x-tidegate-session": digest}
    api.house.clock.advance(2 * 3600.0)
    assert (await api.http.get(URL, headers=by_session)).status_code == 200
    assert api.house.gateways.access is not None
    assert api.house.gateways.access.sessions[digest].expires_at == api.house.clock.now() + 12 * 3600.0
    await api.house.sessions.log_out(digest)
    refused = await api.http.get(URL, headers=by_session)
    assert refused.status_code == 401
    assert "Log in again" in refused.json()["message"]


NOBODY: Any = None
ROUTES = sorted(
    f"{method} {route.path}"
    for route in iter_route_contexts(create_app(NOBODY, NOBODY, NOBODY, NOBODY, NOBODY).routes)
    for method in (route.methods or set()) - {"HEAD"}
    if route.path != "/api/openapi.json"
)


def test_every_route_has_a_rule() -> None:
    assert set(ROUTES) - set(RULES) == set()
    assert len(ROUTES) > 40


async def test_every_route_asks_before_anything_else(api: Api) -> None:
    for route in ROUTES:
        method, path = route.format(name="wine", served="x", identity="wine").split(" ")
        answer = await api.http.request(method, path, headers=MARIA)
        assert answer.status_code == 403, (route, answer.text)
        assert answer.json()["message"].startswith("'maria' may not "), route


async def test_what_is_asked(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Action, Resource]] = []

    def refuse(principal: Principal, action: Action, resource: Resource) -> Refusal:
        asked.append((principal.name, action, resource))
        return Refusal("No.", hidden=True)

    monkeypatch.setattr(permissions, "may", refuse)
    calls: tuple[tuple[str, str, dict[str, Any], Action, Resource], ...] = (
        ("GET", URL, {}, Action.VIEW, Resource(Kind.ENDPOINT)),
        ("POST", URL, BODY, Action.CREATE, Resource(Kind.ENDPOINT)),
        ("GET", f"{URL}/w%20x", {}, Action.VIEW, Resource(Kind.ENDPOINT, "w x")),
        ("DELETE", f"{URL}/wine/", {}, Action.MANAGE, Resource(Kind.ENDPOINT, "wine")),
        ("GET", "/metrics", {}, Action.VIEW, Resource(Kind.PLATFORM)),
        ("POST", f"{serverless.PREFIX}/enable", MODEL, Action.MANAGE, Resource(Kind.MODEL, "wine")),
        ("GET", f"{classic.PREFIX}/get-status?registered_model_name=tea", {}, Action.VIEW, Resource(Kind.MODEL, "tea")),
        ("GET", f"{classic.PREFIX}/list", {}, Action.VIEW, Resource(Kind.MODEL)),
        ("POST", "/api/2.0/preview/mlflow/endpoints/disable", MODEL, Action.MANAGE, Resource(Kind.MODEL, "wine")),
    )
    for method, path, body, action, resource in calls:
        answer = await api.http.request(method, path, json=body or None, headers=MARIA)
        assert answer.status_code == 404, (path, answer.text)
        assert asked.pop() == ("maria", action, resource)
    assert asked == []


async def test_who_asked_is_on_record(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permissions, "may", lambda *_: None)
    created = await api.http.post(URL, json=BODY, headers=MARIA)
    assert created.json()["creator"] == "maria"
