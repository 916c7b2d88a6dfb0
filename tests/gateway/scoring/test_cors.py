"""Scripts of other sites' pages: what browsers are told, which is nothing unless a setting says so."""

from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest

from tests.gateway.house import TOKEN, V1, house
from tidegate.core.errors import ConfigurationError, PermissionDenied
from tidegate.gateway.scoring.cors import Cors, check_same_site
from tidegate.settings_loading import load

PAGE, OTHER = "https://example.org", "https://elsewhere.example"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, content-type"}
SCORE = "/serving-endpoints/wine/invocations"


def cors_headers(answer: httpx.Response) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control") or name == "vary"
    }


async def preflight(url: str, origin: str, path: str = SCORE) -> httpx.Response:
    """What a browser sends before a page's request: no token."""
    async with httpx.AsyncClient(base_url=url) as client:
        return await client.options(path, headers={"origin": origin, **PREFLIGHT})


async def test_by_default_no_page_may_score(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert (await preflight(h.url, PAGE)).status_code == 401
        for answer in (await h.score(headers={"origin": PAGE}), await preflight(h.url, PAGE)):
            assert cors_headers(answer) == {}


@pytest.mark.parametrize("origins", [PAGE, f"http://localhost:3000 {PAGE.upper()}", "*"])
async def test_pages_of_the_origins_may(tmp_path: Path, origins: str) -> None:
    async with house(tmp_path, cors_origins=origins) as h:  # type: ignore[arg-type]
        h.agent.place(V1, await h.replica("aaaa0001"))
        asked = await preflight(h.url, PAGE)
        assert (asked.status_code, asked.content) == (204, b"")
        assert asked.headers["access-control-allow-methods"] == "POST"
        for name in ("authorization", "content-type", "content-encoding"):
            assert name in asked.headers["access-control-allow-headers"]
        async with httpx.AsyncClient(base_url=h.url, headers={"origin": PAGE}) as stranger:
            refused = await stranger.post(SCORE, content=b"[1]")
        wrong = await h.client.post("/serving-endpoints/beer/invocations", headers={"origin": PAGE})
        answers = [asked, await h.score(headers={"origin": PAGE}), refused, wrong]
        assert [answer.status_code for answer in answers] == [204, 200, 401, 404]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == ("*" if origins == "*" else PAGE)
            assert "x-request-id" in answer.headers["access-control-expose-headers"]
            assert answer.headers.get("vary") == (None if origins == "*" else "origin")
            assert "access-control-allow-credentials" not in answer.headers


async def test_pages_of_other_origins_may_not(tmp_path: Path) -> None:
    async with house(tmp_path, cors_origins=PAGE) as h:  # type: ignore[arg-type]
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert (await preflight(h.url, OTHER)).status_code == 401
        refused = await h.score(headers={"origin": OTHER})
        assert (refused.status_code, cors_headers(refused)) == (403, {"vary": "origin"})
        assert (await preflight(h.url, PAGE, "/api/2.0/serving-endpoints")).status_code == 401


async def test_a_connection_goes_on_after_a_preflight(tmp_path: Path) -> None:
    async with house(tmp_path, cors_origins=PAGE) as h:  # type: ignore[arg-type]
        h.agent.place(V1, await h.replica("aaaa0001"))
        for _ in range(3):
            assert (await h.client.options(SCORE, headers={"origin": PAGE, **PREFLIGHT})).status_code == 204
            assert (await h.score(headers={"origin": PAGE})).status_code == 200


@pytest.mark.parametrize("cors", [False, True])
async def test_a_method_that_is_not_there_gets_those_that_are(tmp_path: Path, cors: bool) -> None:
    async with house(tmp_path, **({"cors_origins": PAGE} if cors else {})) as h:  # type: ignore[arg-type]
        h.agent.place(V1, await h.replica("aaaa0001"))
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = await h.client.request(method, SCORE)
            assert answer.status_code == 405
            assert answer.headers["allow"] == ("POST, OPTIONS" if cors else "POST")


@pytest.mark.parametrize("origins", ["example.org", "https://example.org/", "https://a,https://b", "https://*.org"])
def test_what_is_no_origin_ends_the_start(origins: str) -> None:
    with pytest.raises(ConfigurationError, match=r"gateway\.cors_origins"):
        load({"TIDEGATE_GATEWAY__CORS_ORIGINS": origins})


def test_origins_are_read_from_the_environment() -> None:
    settings = load({"TIDEGATE_GATEWAY__CORS_ORIGINS": f"{PAGE} http://localhost:3000"})
    assert Cors(settings.gateway.cors_origins).headers(b"http://localhost:3000")


async def test_a_page_of_another_site_cannot_use_its_visitors_login(tmp_path: Path) -> None:
    """A browser sends Basic credentials by itself, with a form's POST too."""
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001")
        h.agent.place(V1, replica)
        for path in (SCORE, "/api/2.0/x"):
            for origin in (OTHER, "null", "http://[", "", "file://", "http://127.0.0.1:1"):
                answer = await h.client.post(path, content=b"[1]", auth=("token", TOKEN), headers={"origin": origin})
                assert answer.status_code == 403, origin
            assert not replica.seen
        for path in (SCORE, "/api/2.0/x"):
            own = await h.client.post(path, content=b"[1]", auth=("token", TOKEN), headers={"origin": h.url.upper()})
            assert own.status_code == 200


async def test_pages_of_the_public_url_are_its_own_whatever_host_a_proxy_sends_on(tmp_path: Path) -> None:
    async with house(tmp_path, "https://Models.example.org:443/ml") as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        for path in (SCORE, "/api/2.0/x"):
            for origin, status in (
                ("https://models.example.org", 200),
                (h.url, 200),
                ("http://models.example.org", 403),
                ("https://models.example.org:8443", 403),
                ("https://evil.example", 403),
            ):
                answer = await h.client.post(path, content=b"[1]", headers={"origin": origin})
                assert answer.status_code == status, (path, origin)


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        (None, b"m.example.com", True),
        (b"https://m.example.com", b"m.example.com", True),
        (b"https://M.example.com", b"m.example.com:443", True),
        (b"http://m.example.com:80", b"m.example.com", True),
        (b"http://[::1]:8080", b"[::1]:8080", True),
        (b"https://m.example.com:80", b"m.example.com", False),
        (b"http://m.example.com", b"m.example.com:8080", False),
        (b"null", None, False),
        (b"null", b"", False),
        (b"", b"", False),
        (b"http://[", b"[", False),
    ],
)
def test_what_is_the_same_site(origin: bytes | None, host: bytes | None, same: bool) -> None:
    with nullcontext() if same else pytest.raises(PermissionDenied):
        check_same_site({} if origin is None else {b"origin": origin, **({b"host": host} if host is not None else {})})
