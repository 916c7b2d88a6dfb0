"""Logging in and out."""

import re

import pytest

from tests.control.house import TOKEN
from tests.dashboard.web_house import WebHouse
from tidegate.http import token_hash


async def log_in(
    web: WebHouse, token: str = TOKEN, wanted: str = "/", address: str = "10.0.0.1"
) -> "tuple[int, str, str]":
    answer = await web.http.post(
        "/login", data={"token": token, "next": wanted}, headers={"x-tidegate-address": address}
    )
    return answer.status_code, answer.headers.get("location", ""), answer.headers.get("set-cookie", "")


async def test_the_token_makes_a_session_and_its_page_is_shown(web: WebHouse) -> None:
    status, location, cookie = await log_in(web, wanted="/models?page=2")
    assert (status, location) == (303, "/models?page=2")
    found = re.fullmatch(r"tidegate_session=([\w-]{43}); Path=/; HttpOnly; SameSite=Lax", cookie)
    assert found is not None
    principal = web.house.control.sessions.principal(token_hash(found[1]))
    assert principal is not None
    assert principal.name == "admin"


async def test_a_wrong_token_says_where_the_right_one_is(web: WebHouse) -> None:
    answer = await web.http.post("/login", data={"token": "<b>nonsense", "next": "/models"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "It is in admin.token" in answer.text
    assert 'value="/models"' in answer.text
    assert "nonsense" not in answer.text


async def test_who_tries_too_often_has_to_wait(web: WebHouse) -> None:
    for _ in range(10):
        assert (await log_in(web, "wrong"))[0] == 401
    assert (await log_in(web))[0] == 429
    assert (await log_in(web, address="10.0.0.2"))[0] == 303


@pytest.mark.parametrize("wanted", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:1"])
async def test_a_log_in_leads_to_no_other_site(web: WebHouse, wanted: str) -> None:
    assert (await log_in(web, wanted=wanted))[1] == "/"


async def test_logging_out_ends_the_session(web: WebHouse) -> None:
    cookie = (await log_in(web))[2]
    digest = token_hash(cookie.partition(";")[0].removeprefix("tidegate_session="))
    answer = await web.http.post("/logout", headers={"x-tidegate-session": digest})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert web.house.control.sessions.principal(digest) is None


async def test_one_who_is_known_needs_no_log_in(web: WebHouse) -> None:
    answer = await web.http.get("/login?next=/models", headers={"x-tidegate-principal": "admin"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/models")
