"""Each service starts, does what it is for, and ends with its `with`."""

import contextlib
import signal
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import prometheus_client
import psutil
import psycopg
import pytest
import redis

from tests.services.chromium import chromium
from tests.services.nginx import nginx_server
from tests.services.postgresql import postgresql_server
from tests.services.process import Program, free_port, listens, running
from tests.services.prometheus import prometheus_server
from tests.services.redis import redis_server


def test_redis_keeps_a_hash() -> None:
    with redis_server() as url, redis.Redis.from_url(url, decode_responses=True) as client:
        assert client.keys() == []
        client.hset("wine:7", mapping={"acid": "0.3", "colour": "red"})
        assert client.hgetall("wine:7") == {"acid": "0.3", "colour": "red"}
    with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_postgresql_answers_a_query() -> None:
    with postgresql_server() as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE wine (id bigint PRIMARY KEY, colour text)")
            connection.execute("INSERT INTO wine VALUES (7, 'röt')")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT colour FROM wine WHERE id = ANY(%s)", ([7, 8],)).fetchall() == [("röt",)]
        open_to_the_end = psycopg.connect(url)
    with open_to_the_end, pytest.raises(psycopg.OperationalError):
        open_to_the_end.execute("SELECT 1")


def test_nginx_passes_requests_on() -> None:
    with (
        nginx_server("location / { return 200 'behind: $uri'; }") as behind,
        nginx_server(f"location /tidegate/ {{ proxy_pass {behind}/; }}") as front,
    ):
        assert httpx.get(f"{front}/tidegate/wine").text == "behind: /wine"
        assert httpx.get(f"{front}/elsewhere").status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(front)


def test_prometheus_scrapes() -> None:
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Gauge("bottles", "In the cellar.", registry=registry).set(42)
    port = free_port()
    server, thread = prometheus_client.start_http_server(port, "127.0.0.1", registry)
    try:
        with prometheus_server(f"127.0.0.1:{port}") as url:
            assert scraped(url, "bottles") == "42"
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def scraped(url: str, name: str) -> Any:
    deadline = time.monotonic() + 20
    while not (found := httpx.get(f"{url}/api/v1/query", params={"query": name}).json()["data"]["result"]):
        assert time.monotonic() < deadline, "nothing was scraped"
        time.sleep(0.05)
    return found[0]["value"][1]


def test_chromium_runs_a_page_and_shows_it(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        "<!doctype html><button onclick=\"document.title = 'asked'\">Ask</button><p>0</p>"
        "<script>document.querySelector('p').textContent = String(6 * 7)</script>"
    )
    tmp_path.chmod(0o755)
    with nginx_server(f"root {tmp_path};") as url, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{url}/index.html")
        assert page.text_content("p") == "42"
        page.click("button")
        assert page.title() == "asked"
        assert page.screenshot().startswith(b"\x89PNG")
        program = browser_process()
    wait_for_the_end(program)


def browser_process() -> psutil.Process:
    """The process of the browser that this one has started."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            words = " ".join(child.cmdline())
            if "--headless" in words and "--type=" not in words:
                found.append(child)
    [browser] = found
    return browser


def test_a_program_that_ends_at_once_fails_with_its_own_words(tmp_path: Path) -> None:
    words = ["/bin/sh", "-c", "echo no such configuration; exit 3"]
    with pytest.raises(AssertionError, match="no such configuration"), running(Program(words), tmp_path / "log", bool):
        pass


def test_another_server_on_the_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    program = Program(["/bin/sh", "-c", "echo the port is taken; exit 1"])
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]

        def ready() -> bool:
            time.sleep(0.2)  # the program has ended by then
            return listens(port)

        with pytest.raises(AssertionError, match="is taken"), running(program, tmp_path / "log", ready):
            pass


def test_what_a_program_has_started_ends_with_it(tmp_path: Path) -> None:
    words = ["/bin/sh", "-c", "sleep 600 & echo $! > child; wait"]
    with running(Program(words, end=signal.SIGKILL), tmp_path / "log", lambda: bool(read(tmp_path / "child"))):
        child = psutil.Process(int(read(tmp_path / "child")))
    wait_for_the_end(child)


def read(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


def wait_for_the_end(process: psutil.Process) -> None:
    """Until it has ended, whether anybody has reaped it or not."""
    deadline = time.monotonic() + 10
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "it goes on"
            time.sleep(0.02)
