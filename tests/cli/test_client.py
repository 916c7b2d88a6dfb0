"""What the client says when a call does not come off."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.platform import EXAMPLE, TOKEN, Platform
from tidegate.cli import client as client_module
from tidegate.cli.client import Client
from tidegate.cli.failure import Failure, Refused, Unreachable
from tidegate.cli.find_server import Server


def a_client(url: str, token: str = TOKEN) -> Client:
    return Client(Server(url, Path(), token))


@contextlib.contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """The URL of a server that writes these bytes, one after the other, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for each in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(each)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(20)


def an_answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_nobody_answers(cli: Cli) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = cli("list", "--url", url)
    assert done.exit_code == 1
    assert done.stderr == f"No Tidegate answers at {url}. Start it with `tidegate up`, or name it with --url.\n"


@pytest.mark.parametrize(
    "answer", [an_answer(200, b"<html>"), an_answer(200, b"[]"), an_answer(404, b"no"), an_answer(302, b"")]
)
def test_somebody_else_answers(answer: bytes) -> None:
    with answering(answer) as url, a_client(url) as client:
        with pytest.raises(Failure, match=f"What answers at {url} is not Tidegate") as caught:
            client.endpoints()
        assert type(caught.value) is Failure


def test_the_connection_breaks_off() -> None:
    with answering(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{") as url, a_client(url) as client:
        sentence = f"The connection to {url} broke: "
        with pytest.raises(Unreachable, match=sentence):
            client.endpoints()


def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with a_client(url) as client, pytest.raises(Unreachable, match="did not answer within 0 seconds"):
            client.endpoints()


def test_the_servers_own_sentence_and_code(platform: Platform) -> None:
    with a_client(platform.url) as client, pytest.raises(Refused) as caught:
        client.endpoint("nothing")
    assert (caught.value.status, caught.value.code) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert caught.value.message == "There is no endpoint 'nothing'."


def test_a_wrong_token(platform: Platform, cli: Cli) -> None:
    done = cli("list", "--token", "wrong")
    assert (done.exit_code, done.stderr) == (1, "The token is not valid.\n")


def test_no_token_at_all(platform: Platform, cli: Cli) -> None:
    (platform.data_dir / "admin.token").unlink()
    done = cli("list")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"There is no token for {platform.url}. Give one with --token or TIDEGATE_TOKEN, ")


def test_a_token_from_a_file(platform: Platform, cli: Cli, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text((platform.data_dir / "admin.token").read_text() + "\n")
    (platform.data_dir / "admin.token").unlink()
    assert cli("list", "--token-file", str(token)).exit_code == 0
    for arguments, sentence in (
        (["--token-file", str(tmp_path / "none")], "cannot be read"),
        (["--token-file", str(token), "--token", "a"], "not both"),
    ):
        done = cli("list", *arguments)
        assert (done.exit_code, sentence in done.stderr) == (1, True), done.stderr
    token.write_text("")
    assert "has no token" in cli("list", "--token-file", str(token)).stderr


@pytest.mark.parametrize("arguments", [["--token", "s3cret"], ["--token=s3cret"]])
def test_ps_does_not_show_the_token(arguments: list[str]) -> None:
    """The command waits for a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "tidegate", "list", "--url", url, *arguments]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                silent.settimeout(30)
                connection, _ = silent.accept()
                with connection:
                    shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            finally:
                process.kill()
    assert b"s3cret" not in shown
    assert b"--token" in shown


@pytest.mark.parametrize("token", ["tökén", "two\nlines"])
def test_what_cannot_be_a_token_is_not_shown(cli: Cli, token: str) -> None:
    done = cli("list", "--token", token)
    assert done.exit_code == 1
    assert done.stderr.startswith("The token has characters that a token cannot have")
    assert token not in done.stderr


def test_a_proxy_is_not_asked_for_this_machine(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with a_client(platform.url) as client:
        assert client.endpoints() == []


def test_the_example_of_the_openapi_document(platform: Platform) -> None:
    platform.have()
    with a_client(platform.url) as client:
        assert client.example("wine") == EXAMPLE


@pytest.mark.parametrize(
    ("content", "example"),
    [
        ({"example": {"inputs": [1]}}, {"inputs": [1]}),
        ({"examples": {"one": {"value": {"inputs": [2]}}}}, {"inputs": [2]}),
        ({"schema": {"examples": [{"inputs": [3]}]}}, {"inputs": [3]}),
        ({"schema": {"type": "object"}}, None),
    ],
)
def test_the_example_in_every_place_that_openapi_has_for_it(content: object, example: object) -> None:
    operation = {"post": {"requestBody": {"content": {"application/json": content}}}}
    body = json.dumps({"paths": {"/serving-endpoints/wine/invocations": operation}}).encode()
    with answering(an_answer(200, body)) as url, a_client(url) as client:
        assert client.example("wine") == example
