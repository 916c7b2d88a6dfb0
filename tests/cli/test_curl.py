"""The curl line, expanded by a real shell."""

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tidegate.cli.curl import curl_line
from tidegate.cli.find_server import Server, ServerOptions, find

SHOW_ARGUMENTS = 'curl() { for each in "$@"; do printf "%s\\n" "$each"; done; }; '


def expanded(line: str, **environ: str) -> list[str]:
    """The arguments that curl gets from a shell."""
    done = subprocess.run(["/bin/sh", "-c", SHOW_ARGUMENTS + line], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def arguments(server: Server, data: str) -> list[str]:
    return [
        *("-H", "Authorization: Bearer secret", "-H", "Content-Type: application/json"),
        *("-d", data, f"{server.url}/serving-endpoints/wine/invocations"),
    ]


def test_the_data_directorys_token_is_read_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    (folder / "admin.token").write_text("secret\n")
    server = find(ServerOptions(data_dir=folder), {})
    line = curl_line(server, "wine")
    assert "secret" not in line
    assert expanded(line, PATH="/usr/bin:/bin") == arguments(server, "@row.json")


def test_a_server_with_a_public_url_is_called_there(tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text("secret\n")
    urls = {"url": "http://127.0.0.1:8099", "public_url": "https://example.org/ml", "pid": 1}
    (tmp_path / "server.json").write_text(json.dumps(urls))
    line = curl_line(find(ServerOptions(data_dir=tmp_path), {}), "wine")
    assert expanded(line, PATH="/usr/bin:/bin")[-1] == "https://example.org/ml/serving-endpoints/wine/invocations"
    line = curl_line(find(ServerOptions(url="http://127.0.0.1:1", data_dir=tmp_path), {}), "wine")
    assert expanded(line, PATH="/usr/bin:/bin")[-1] == "http://127.0.0.1:1/serving-endpoints/wine/invocations"


def test_variables_stay_variables() -> None:
    for variable in ("TIDEGATE_TOKEN", "DATABRICKS_TOKEN"):
        server = find(ServerOptions(), {variable: "secret"})
        assert expanded(curl_line(server, "wine"), **{variable: "secret"}) == arguments(server, "@row.json")


def test_a_named_token_and_an_example_with_quotes() -> None:
    server = find(ServerOptions(token="secret"), {})
    example = {"inputs": ["it's", '"so"', "$HOME"]}
    line = curl_line(server, "wine", example)
    assert expanded(line, TIDEGATE_TOKEN="secret") == arguments(server, json.dumps(example))


@pytest.mark.parametrize("piped", [False, True])
def test_a_named_token_is_not_printed(tmp_path: Path, piped: bool) -> None:
    file = tmp_path / "a file"
    file.write_text("secret\n")
    server = find(ServerOptions(token="secret", token_file=Path("-") if piped else file), {})
    line = curl_line(server, "wine")
    assert "secret" not in line
    assert expanded(line, TIDEGATE_TOKEN="secret") == arguments(server, "@row.json")


def test_the_whole_line_without_a_shell() -> None:
    server = replace(find(ServerOptions(token="secret"), {}), token_in_shell="secret")
    assert shlex.split(curl_line(server, "wine", {}))[1:] == arguments(server, "{}")
