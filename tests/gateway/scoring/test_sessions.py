"""Callers with a session's cookie: who they are, from which pages they may change something, and where they log in."""

import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.gateway.house import TOKEN, V1, House, house, until
from tidegate import http
from tidegate.core.access.access_table import Grant, access_table

SCORE = "/serving-endpoints/wine/invocations"
COOKIE = "tidegate_session=secret"
OWN = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
NAVIGATES = {"sec-fetch-mode": "navigate", "accept": "text/html,*/*"}


async def has_session(h: House, seconds: float = 60.0) -> None:
    """Give `secret` a session that ends so soon."""
    grants = {http.token_hash("secret"): Grant("maria", time.time() + seconds)}
    table = access_table({http.token_hash(TOKEN): "admin"}, grants)
    h.control.publish_access(table)
    await until(lambda: h.control.reports and h.control.reports[-1].access_version == table.version)


def browser(h: House, cookie: str = COOKIE, /, **headers: str) -> httpx.AsyncClient:
    """A client without a token."""
    return httpx.AsyncClient(base_url=h.url, headers={**({"cookie": cookie} if cookie else {}), **headers}, timeout=20)


async def test_a_session_opens_every_path_and_its_end_closes_them(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        await has_session(h)
        for cookie in (COOKIE, f"a=b; {COOKIE}", f"{COOKIE};c=d", f"tidegate_session=of-another; {COOKIE}"):
            async with browser(h, cookie) as visitor:
                assert (await visitor.get("/api/2.0/x")).status_code == 200
                assert (await visitor.post(SCORE, content=b"[1]", headers=OWN)).status_code == 200
        for cookie in (
            "tidegate_session=wrong",
            "tidegate_session=",
            "tidegate_sessions=secret",
            "x=tidegate_session=secret",
            "",
        ):
            async with browser(h, cookie) as visitor:
                assert (await visitor.get("/api/2.0/x")).status_code == 401, cookie
                assert (await visitor.post(SCORE, content=b"[1]", headers=OWN)).status_code == 401, cookie
        await has_session(h, -0.001)
        async with browser(h) as visitor:
            for refused in (await visitor.get("/api/2.0/x"), await visitor.post(SCORE, content=b"[1]", headers=OWN)):
                assert refused.status_code == 401
                assert "Log in again" in refused.json()["message"]


async def test_a_token_comes_before_a_cookie(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await has_session(h)
        async with browser(h, "tidegate_session=wrong", authorization=f"Bearer {TOKEN}") as client:
            said = (await client.post("/api/2.0/x")).json()["headers"]
            assert said["x-tidegate-principal"] == "admin"
        async with browser(h, authorization="Bearer wrong") as client:
            assert (await client.get("/api/2.0/x")).status_code == 401


ORIGINS: tuple[tuple[dict[str, str], int], ...] = (
    ({"sec-fetch-site": "same-origin"}, 200),
    ({"sec-fetch-site": "same-origin", "origin": "null"}, 200),  # a form of a page with `no-referrer`
    ({"sec-fetch-site": "same-site"}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "cross-site", "origin": "OWN"}, 403),
    ({"sec-fetch-site": "none"}, 403),
    ({"sec-fetch-site": ""}, 403),
    ({"origin": "OWN"}, 200),
    ({"origin": "https://models.example.org"}, 200),
    ({"origin": "http://models.example.org"}, 403),
    ({"origin": "https://models.example.org.evil.example"}, 403),
    ({"origin": "https://evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": ""}, 403),
    ({}, 403),
)


async def test_a_change_by_cookie_comes_from_an_own_page(tmp_path: Path) -> None:
    async with house(tmp_path, "https://models.example.org") as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        await has_session(h)
        for headers, status in ORIGINS:
            given = {name: h.url if value == "OWN" else value for name, value in headers.items()}
            async with browser(h, **given) as visitor:
                for method in ("POST", "PUT", "PATCH", "DELETE"):
                    assert (await visitor.request(method, "/api/2.0/x")).status_code == status, (method, headers)
                assert (await visitor.post(SCORE, content=b"[1]")).status_code == status, headers
        async with browser(h, "", authorization=f"Bearer {TOKEN}") as program:  # as it was
            assert (await program.post("/api/2.0/x")).status_code == 200


async def test_reading_by_cookie_needs_no_own_page(tmp_path: Path) -> None:
    """A link elsewhere leads to a page of Tidegate's, with its visitor's session."""
    async with house(tmp_path) as h:
        await has_session(h)
        async with browser(h, **{"sec-fetch-site": "cross-site"}) as visitor:
            assert (await visitor.get("/endpoints/wine")).status_code == 200
            assert (await visitor.head("/endpoints/wine")).status_code == 200
            foreign = await visitor.get("/endpoints/wine", headers={"origin": "https://evil.example"})
            assert foreign.status_code == 403


async def test_control_is_told_who_calls_and_no_caller_can_say_that(tmp_path: Path) -> None:
    claims = [
        (name, "root")
        for kind in ("principal", "session", "address", "other")
        for name in (f"x-tidegate-{kind}", f"X-Tidegate-{kind.title()}", f"x_tidegate_{kind}", f"X-TIDEGATE_{kind}")
    ]
    async with house(tmp_path) as h:
        await has_session(h)
        for headers, principal, session in (
            ([("authorization", f"Bearer {TOKEN}")], "admin", None),
            ([("cookie", COOKIE)], "maria", http.token_hash("secret")),
        ):
            async with httpx.AsyncClient(base_url=h.url, headers=[*headers, *claims]) as client:
                said = (await client.get("/api/2.0/x")).json()["headers"]
            told = {name: value for name, value in said.items() if "tidegate" in name}
            expected = {"x-tidegate-principal": principal, "x-tidegate-address": "127.0.0.1"}
            assert told == (expected if session is None else expected | {"x-tidegate-session": session})
            assert "secret" not in str(told)


async def test_the_log_in_is_open_and_says_of_nobody_who_they_are(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await has_session(h)
        for path in ("/login", "/login?next=/x", "/favicon.ico"):
            async with browser(h, **{"x-tidegate-principal": "admin", "authorization": "Bearer wrong"}) as visitor:
                said = (await visitor.get(path)).json()["headers"]
                assert "x-tidegate-principal" not in said
                assert said["x-tidegate-address"] == "127.0.0.1"
        async with browser(h, "") as visitor:
            assert (await visitor.post("/login")).status_code == 200
            assert (await visitor.post("/login", headers={"origin": "https://evil.example"})).status_code == 403
            for path in ("/login/", "/loginx", "/logout", "/favicon.ico/x", "/"):
                assert (await visitor.get(path)).status_code == 401, path


# --- where there are no valid credentials


async def test_a_browser_that_comes_to_a_page_is_sent_to_the_log_in(tmp_path: Path) -> None:
    async with house(tmp_path, "https://models.example.org/ml") as h:
        for cookie in ("", "tidegate_session=ended"):
            for headers in (NAVIGATES, {"accept": "text/html"}):
                for asked, back in (
                    ("/", "/"),
                    ("/endpoints/wine?from=1&to=%202#x", "/endpoints/wine?from=1&to=%202"),
                    ("/ml/models", "/models"),
                    ("/metricsx", "/metricsx"),
                ):
                    async with browser(h, cookie, **headers) as visitor:
                        answer = await visitor.get(asked)
                    assert answer.status_code == 303, asked
                    location = urlsplit(answer.headers["location"])
                    assert (location.netloc, location.path) == ("", "/ml/login")
                    assert parse_qs(location.query) == {"next": [back]}
                    assert "www-authenticate" not in answer.headers
        async with browser(h, "", **NAVIGATES) as visitor:  # a form that was sent when the session had ended
            assert (await visitor.post("/endpoints/wine")).headers["location"] == "/ml/login?next=/"


@pytest.mark.parametrize("path", ["//evil.example", "///evil.example/x", "/\\evil.example", "/\\/evil.example"])
async def test_no_link_leads_from_the_log_in_to_another_site(tmp_path: Path, path: str) -> None:
    async with house(tmp_path) as h:
        request = f"GET {path} HTTP/1.1\r\nhost: x\r\naccept: text/html\r\nconnection: close\r\n\r\n"
        answer = await h.raw(request.encode())
        assert b" 303 " in answer.partition(b"\r\n")[0]
        assert b"location: /login?next=/\r\n" in answer


async def test_programs_and_parts_of_pages_are_told_401(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        for path in ("/api", "/api/2.0/x", "/metrics", "/mlflow/", "/endpoints/wine/invocations"):
            async with browser(h, "", **NAVIGATES) as visitor:
                assert (await visitor.get(path)).status_code == 401, path
        for headers in ({}, {"accept": "*/*"}, {**NAVIGATES, "sec-fetch-mode": "cors"}):
            async with browser(h, "", **headers) as visitor:
                assert (await visitor.get("/endpoints/wine")).status_code == 401
        async with browser(h, "", accept="text/html", authorization="Bearer wrong") as visitor:
            assert (await visitor.get("/endpoints/wine")).status_code == 401
        async with browser(h, "tidegate_session=ended", **NAVIGATES) as visitor:  # no other way on from there
            assert (await visitor.get("/mlflow/x")).headers["location"] == "/login?next=/mlflow/x"


CHALLENGED: tuple[tuple[dict[str, str], bool], ...] = (
    ({}, True),
    ({"authorization": "Bearer wrong"}, True),
    ({"sec-fetch-mode": "navigate"}, True),
    ({"sec-fetch-mode": "cors"}, False),
    ({"sec-fetch-mode": "no-cors", "authorization": "Bearer wrong"}, False),
    ({"cookie": "tidegate_session=ended"}, False),
    ({"cookie": "tidegate_session=ended", "authorization": "Bearer wrong"}, False),
    ({"cookie": "other=1"}, True),
)


async def test_no_browser_shows_its_own_dialog_over_a_page(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        for headers, challenge in CHALLENGED:
            async with browser(h, "", **headers) as visitor:
                for answer in (
                    await visitor.get("/api/2.0/x"),
                    await visitor.get("/mlflow/x"),
                    await visitor.post(SCORE, content=b"[1]"),
                ):
                    assert answer.status_code == 401
                    assert ("www-authenticate" in answer.headers) is challenge, (headers, answer.url)
                    of_mlflow = challenge and answer.url.path.startswith("/mlflow")
                    assert ("MLFLOW_TRACKING_TOKEN" in answer.text) is of_mlflow  # a variable of programs
