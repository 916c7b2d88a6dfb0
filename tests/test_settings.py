"""Settings: what wins over what, and the sentence for everything that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from tidegate.core.errors import ConfigurationError
from tidegate.settings import Settings
from tidegate.settings_loading import load, to_json


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """A settings file."""
    file = tmp_path / "tidegate.toml"
    file.write_text('[server]\nport = 1000\nhost = "file"\ndata_dir = "/file"\n')
    return file


def refusal(
    environ: dict[str, str] | None = None, file: Path | None = None, overrides: dict[str, dict[str, Any]] | None = None
) -> str:
    """The sentence with which settings are refused."""
    with pytest.raises(ConfigurationError) as caught:
        load(environ or {}, file, overrides)
    return caught.value.message


# --- precedence


def test_nothing_given_is_the_defaults() -> None:
    assert load({}) == Settings()


def test_command_line_over_environment_over_file_over_default(toml: Path) -> None:
    environ = {"TIDEGATE_SERVER__PORT": "2000", "TIDEGATE_SERVER__HOST": "environment"}
    server = load(environ, toml, {"server": {"port": 3000}}).server
    assert (server.port, server.host, server.data_dir, server.gateways) == (3000, "environment", Path("/file"), 1)


def test_an_option_that_was_not_given_overrides_nothing(toml: Path) -> None:
    assert load({}, toml, {"server": {"port": None, "host": None}}).server.port == 1000


def test_the_clients_variables_and_foreign_ones_are_not_settings() -> None:
    assert load({"TIDEGATE_URL": "u", "TIDEGATE_TOKEN": "t", "PATH": "/bin", "XTIDEGATE_A": "b"}) == Settings()


def test_settings_survive_the_way_to_another_process(tmp_path: Path) -> None:
    environ = {
        "TIDEGATE_SERVER__DATA_DIR": str(tmp_path),
        "TIDEGATE_ENVIRONMENTS__PYTHON_SEARCH": "/a:/b",
        "TIDEGATE_ENVIRONMENTS__ALLOW_PYTHON_DOWNLOADS": "no",
    }
    settings = load(environ)
    assert load({}, overrides=json.loads(json.dumps(to_json(settings)))) == settings


# --- types


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("SERVER__PORT", "9000", 9000),
        ("SERVER__DATA_DIR", "/data", Path("/data")),
        ("HOUSEKEEPING__UNUSED_DAYS", "0.5", 0.5),
        ("ENVIRONMENTS__ALLOW_PYTHON_DOWNLOADS", "FALSE", False),
        ("ENVIRONMENTS__ALLOW_PYTHON_DOWNLOADS", "1", True),
        ("ENVIRONMENTS__PYTHON_SEARCH", "/a:/b", ("/a", "/b")),
        ("ENVIRONMENTS__PYTHON_SEARCH", "", ()),
        ("LOG__LEVEL", "debug", "debug"),
    ],
)
def test_a_variable_becomes_its_settings_type(variable: str, text: str, value: object) -> None:
    group, name = variable.lower().split("__")
    assert getattr(getattr(load({f"TIDEGATE_{variable}": text}), group), name) == value


def test_a_list_in_a_file_becomes_a_tuple(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text('[environments]\npython_search = ["/a", "/b"]\n')
    assert load({}, file).environments.python_search == ("/a", "/b")


@pytest.mark.parametrize(
    ("group", "name", "value", "wanted"),
    [
        ("server", "port", "eighty", "server.port must be of type int; got 'eighty'"),
        ("server", "port", 80.5, "server.port must be of type int; got 80.5"),
        ("server", "port", True, "server.port must be of type int; got True"),
        ("server", "data_dir", 5, "server.data_dir must be of type Path; got 5"),
        ("housekeeping", "unused_days", "week", "housekeeping.unused_days must be of type float; got 'week'"),
        ("environments", "allow_python_downloads", "maybe", "must be of type bool; got 'maybe'"),
        ("environments", "allow_python_downloads", 1, "must be of type bool; got 1"),
        ("environments", "python_search", 5, "environments.python_search must be of type tuple; got 5"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(group: str, name: str, value: object, wanted: str) -> None:
    assert wanted in refusal(overrides={group: {name: value}})


# --- names and limits


def test_an_unknown_setting_is_answered_with_the_known_ones() -> None:
    assert refusal({"TIDEGATE_SERVER__PROT": "1"}).startswith(
        "There is no setting 'server.prot'. The group has host, port, data_dir, gateways"
    )


def test_an_unknown_group_is_answered_with_the_known_ones() -> None:
    assert refusal({"TIDEGATE_SERVICE__PORT": "1"}).startswith(
        "There is no settings group 'service'. The groups are server, gateway"
    )


def test_a_variable_without_a_group_is_refused() -> None:
    assert refusal({"TIDEGATE_PORT": "1"}) == (
        "TIDEGATE_PORT is not a setting. Unset it, or name it TIDEGATE_<GROUP>__<NAME>."
    )


@pytest.mark.parametrize(
    ("group", "name", "value", "sentence"),
    [
        ("server", "port", 65536, "server.port must be from 0 to 65535."),
        ("server", "port", -1, "server.port must be from 0 to 65535."),
        ("gate", "replay_ms", 5001, "gate.replay_ms must be from 10 to 5000."),
        (
            *("gateway", "max_body_bytes", 2**28),
            f"gateway.max_body_bytes must be from 1 to {2**28 - 2**17}.",
        ),
        ("server", "gateways", 0, "server.gateways must be from 1 to 64."),
        ("engine", "kind", "ray", "engine.kind must be 'local'."),
        ("rollouts", "park_seconds", -1, "rollouts.park_seconds must be from 0 to 31536000 (a year)."),
        ("rollouts", "park_seconds", "inf", "rollouts.park_seconds must be from 0 to 31536000 (a year)."),
        ("log", "format", "xml", "log.format must be 'text' or 'json'."),
        ("log", "level", "LOUD", "log.level must be DEBUG, INFO, WARNING or ERROR."),
        ("environments", "concurrent_builds", 0, "environments.concurrent_builds must be at least 1."),
        ("environments", "build_timeout_seconds", 0, "environments.build_timeout_seconds must be above 0."),
        ("gateway", "answer_within_seconds", 0, "gateway.answer_within_seconds must be above 0 and at most 59."),
        ("gateway", "answer_within_seconds", 60, "gateway.answer_within_seconds must be above 0 and at most 59."),
        ("gateway", "answer_within_seconds", "nan", "gateway.answer_within_seconds must be above 0 and at most 59."),
        ("gateway", "max_queued_requests", 0, "gateway.max_queued_requests must be from 1 to 1000000."),
        ("gateway", "max_queued_bytes", 2**41, "gateway.max_queued_bytes must be from 1 to 1099511627776."),
        (
            *("gateway", "max_queued_bytes", 1000),
            "gateway.max_queued_bytes must not be below gateway.max_body_bytes: the longest bodies would get a 429.",
        ),
        ("gateway", "max_header_bytes", 0, "gateway.max_header_bytes must be from 1024 to 1048576."),
        ("gateway", "header_timeout_seconds", "nan", "gateway.header_timeout_seconds must be from 0.01 to 3600."),
        ("gateway", "body_timeout_seconds", "inf", "gateway.body_timeout_seconds must be from 0.01 to 3600."),
        ("gateway", "keep_alive_seconds", -1, "gateway.keep_alive_seconds must be from 0.01 to 86400."),
        ("engine", "memory_gb", "inf", "engine.memory_gb must be a finite number."),
        ("engine", "start_timeout_seconds", "nan", "engine.start_timeout_seconds must be a finite number."),
        ("housekeeping", "disk_budget_gb", "inf", "housekeeping.disk_budget_gb must be a finite number."),
    ],
)
def test_a_value_out_of_bounds_is_refused(group: str, name: str, value: object, sentence: str) -> None:
    assert refusal(overrides={group: {name: value}}) == sentence


# --- files


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    assert refusal(file=file) == f"The settings file {file} cannot be read: No such file or directory."


@pytest.mark.parametrize("content", [b"[server\n", b"port = = 1\n", b"\xff\xfe"])
def test_a_corrupt_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    assert refusal(file=file).startswith(f"The settings file {file} is not valid TOML: ")


def test_a_setting_outside_a_group_is_named(tmp_path: Path) -> None:
    file = tmp_path / "flat.toml"
    file.write_text("port = 1\n")
    assert refusal(file=file) == f"In {file}, 'port' is outside of a group. Put it below a line such as [server]."


def test_the_roots_of_artifacts_are_listed_or_those_of_the_registrys_kind() -> None:
    def roots(**given: str) -> tuple[str, ...]:
        return load({}, overrides={"registry": given}).registry.roots

    assert roots() == ()
    assert "s3:" in roots(uri="https://mlflow.example.com")
    assert roots(uri="https://mlflow.example.com", artifact_roots="/mnt/models  s3://bucket/x") == (
        *("/mnt/models", "s3://bucket/x"),
    )


@pytest.mark.parametrize(
    "root",
    ["models", "http:", "http://", "hdfs:", "file:models", "file://models", "s3", "s3://b/../", "-x://y", "/a/../b"],
)
def test_a_root_of_artifacts_that_names_no_place_is_refused(root: str) -> None:
    assert "registry.artifact_roots must be absolute paths" in refusal({"TIDEGATE_REGISTRY__ARTIFACT_ROOTS": root})


@pytest.mark.parametrize(
    ("given", "seconds"),
    [({}, 30.0), ({"uri": "http://elsewhere"}, 2.0), ({"uri": "http://elsewhere", "poll_seconds": 7}, 7.0)],
)
def test_an_external_registry_is_looked_at_more_often(given: dict[str, Any], seconds: float) -> None:
    assert load({}, overrides={"registry": given}).registry.look_every == seconds
