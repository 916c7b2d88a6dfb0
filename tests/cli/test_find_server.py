"""Which server a command calls, and with which token."""

import json
from pathlib import Path

import pytest

from tidegate.cli.failure import Failure
from tidegate.cli.find_server import DEFAULT_URL, ServerOptions, find

HERE = "http://127.0.0.1:8099"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a platform that runs on HERE."""
    (tmp_path / "admin.token").write_text("own\n")
    (tmp_path / "server.json").write_text(json.dumps({"url": HERE, "pid": 1}))
    return tmp_path


def test_with_nothing_at_all_the_default_is_called_without_a_token() -> None:
    server = find(ServerOptions(), {})
    assert (server.url, server.token) == (DEFAULT_URL, "")


def test_a_running_platform_is_found_by_its_data_directory(data: Path) -> None:
    server = find(ServerOptions(data_dir=data), {})
    assert (server.url, server.token) == (HERE, "own")


def test_the_default_data_directory_is_the_servers_own_setting(data: Path) -> None:
    assert find(ServerOptions(), {"TIDEGATE_SERVER__DATA_DIR": str(data)}).token == "own"


def test_the_default_data_directory_is_in_the_working_directory() -> None:
    Path(".tidegate").mkdir()
    Path(".tidegate/admin.token").write_text("local")
    assert find(ServerOptions(), {}).token == "local"


@pytest.mark.parametrize(
    ("options", "environ", "url"),
    [
        (ServerOptions(url="http://a"), {"TIDEGATE_URL": "http://b", "DATABRICKS_HOST": "http://c"}, "http://a"),
        (ServerOptions(), {"TIDEGATE_URL": "http://b", "DATABRICKS_HOST": "http://c"}, "http://b"),
        (ServerOptions(), {"DATABRICKS_HOST": "http://c/"}, "http://c"),
        (ServerOptions(url="localhost:1"), {}, "http://localhost:1"),
        (ServerOptions(url="[::1]:1"), {}, "http://[::1]:1"),
        (ServerOptions(url="serving.example.com"), {}, "https://serving.example.com"),
        (ServerOptions(url="https://example.com/tidegate/"), {}, "https://example.com/tidegate"),
    ],
)
def test_options_come_before_the_environment(options: ServerOptions, environ: dict[str, str], url: str) -> None:
    assert find(options, environ).url == url


def test_a_named_data_directory_comes_before_the_environment(data: Path) -> None:
    environ = {"TIDEGATE_URL": "http://b", "TIDEGATE_TOKEN": "b", "DATABRICKS_HOST": "http://c"}
    server = find(ServerOptions(data_dir=data), environ)
    assert (server.url, server.token) == (HERE, "own")


@pytest.mark.parametrize(
    ("options", "environ", "token"),
    [
        (ServerOptions(token="a"), {"TIDEGATE_TOKEN": "b", "DATABRICKS_TOKEN": "c"}, "a"),
        (ServerOptions(), {"TIDEGATE_TOKEN": "b", "DATABRICKS_TOKEN": "c"}, "b"),
        (ServerOptions(), {"DATABRICKS_TOKEN": "c"}, "c"),
        (ServerOptions(), {"DATABRICKS_TOKEN": "c", "DATABRICKS_HOST": "https://workspace"}, "c"),
        (
            ServerOptions(url="https://workspace/"),
            {"DATABRICKS_TOKEN": "c", "DATABRICKS_HOST": "https://workspace"},
            "c",
        ),
    ],
)
def test_tokens_in_their_order(options: ServerOptions, environ: dict[str, str], token: str) -> None:
    assert find(options, environ).token == token


def test_a_databricks_token_goes_to_no_other_host() -> None:
    environ = {"DATABRICKS_TOKEN": "c", "DATABRICKS_HOST": "https://workspace", "TIDEGATE_URL": "https://elsewhere"}
    assert find(ServerOptions(), environ).token == ""


def test_the_data_directorys_token_stays_on_this_machine_unless_it_is_named(data: Path) -> None:
    environ = {"TIDEGATE_SERVER__DATA_DIR": str(data)}
    assert find(ServerOptions(url="https://elsewhere"), environ).token == ""
    assert find(ServerOptions(url="http://127.0.0.1:1"), environ).token == "own"
    assert find(ServerOptions(url="https://elsewhere", data_dir=data), environ).token == "own"


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a:port", "http://[a", "http://a:70000"])
def test_what_is_not_a_url_is_refused(url: str) -> None:
    with pytest.raises(Failure, match="is not the URL of a server"):
        find(ServerOptions(url=url), {})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_broken_server_file_names_no_server(data: Path, content: str) -> None:
    (data / "server.json").write_text(content)
    assert find(ServerOptions(data_dir=data), {}).url == DEFAULT_URL


def test_a_token_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "admin.token").mkdir()
    with pytest.raises(Failure, match=r"admin\.token cannot be read: Is a directory\."):
        find(ServerOptions(data_dir=tmp_path), {})
    (tmp_path / "server.json").write_bytes(b"\xff")
    with pytest.raises(Failure, match=r"server\.json cannot be read: it is not text\."):
        find(ServerOptions(data_dir=tmp_path), {})
