"""Reads the settings, converts them to their types, and checks them. No other module reads `tidegate.toml`.

A value comes from the command line, else the environment (`TIDEGATE_<GROUP>__<NAME>`), else the file, else the default.
"""

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.core.endpoint.gate_policy import GateMode
from tidegate.core.errors import ConfigurationError
from tidegate.settings import USUAL_STORES, Settings
from tidegate_worker.ipc import wire

# Variables that share the prefix but belong to the command-line client.
_CLIENT_VARIABLES = {"TIDEGATE_URL", "TIDEGATE_TOKEN"}

SETTINGS_VARIABLE = "TIDEGATE_SETTINGS"
"""Environment variable in which the supervisor hands its settings, as JSON, to the platform's processes."""

Overrides = Mapping[str, Mapping[str, Any]]


def load(environ: Mapping[str, str], file: Path | None = None, overrides: Overrides | None = None) -> Settings:
    """Settings from defaults, `file`, `environ` and `overrides` (group → name → value), the later winning.

    Raises ConfigurationError naming the file or variable, for an unknown name or a value of the wrong type.
    """
    values: dict[str, dict[str, Any]] = {}
    for source in (_from_file(file), _from_environment(environ), overrides or {}):
        for group, entries in source.items():
            values.setdefault(group, {}).update({k: v for k, v in entries.items() if v is not None})
    groups = {f.name: f.default_factory for f in dataclasses.fields(Settings)}
    built: dict[str, Any] = {}
    for group, entries in values.items():
        kind: Any = groups.get(group)
        if kind is None:
            raise ConfigurationError(f"There is no settings group '{group}'. The groups are {', '.join(groups)}.")
        built[group] = kind(**_typed(group, kind, entries))
    settings = Settings(**built)
    _check(settings)
    return settings


def to_json(settings: Settings) -> dict[str, dict[str, Any]]:
    """Settings as plain values, to hand to another process; `load` takes them back as overrides."""

    def plain(value: object) -> object:
        return str(value) if isinstance(value, Path) else value

    return {g: {k: plain(v) for k, v in entries.items()} for g, entries in dataclasses.asdict(settings).items()}


def _from_file(file: Path | None) -> dict[str, dict[str, Any]]:
    if file is None:
        return {}
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigurationError(f"The settings file {file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The settings file {file} is not valid TOML: {error}.") from None
    for group, entries in content.items():
        if not isinstance(entries, dict):
            raise ConfigurationError(
                f"In {file}, '{group}' is outside of a group. Put it below a line such as [server]."
            )
    return content


def _from_environment(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    for variable, value in environ.items():
        if variable.startswith("TIDEGATE_") and variable not in _CLIENT_VARIABLES:
            group, separator, name = variable.removeprefix("TIDEGATE_").lower().partition("__")
            if not separator:
                raise ConfigurationError(f"{variable} is not a setting. Unset it, or name it TIDEGATE_<GROUP>__<NAME>.")
            values.setdefault(group, {})[name] = value
    return values


def _typed(group: str, kind: type, entries: Mapping[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    typed: dict[str, Any] = {}
    for name, value in entries.items():
        if name not in hints:
            raise ConfigurationError(f"There is no setting '{group}.{name}'. The group has {', '.join(hints)}.")
        try:
            typed[name] = _convert(value, hints[name])
        except (TypeError, ValueError):
            wanted = getattr(hints[name], "__name__", str(hints[name]))
            raise ConfigurationError(f"The setting {group}.{name} must be of type {wanted}; got {value!r}.") from None
    return typed


def _convert(value: Any, kind: Any) -> Any:
    if isinstance(kind, types.GenericAlias):  # tuple[str, ...]
        items = value.split(":") if isinstance(value, str) else value
        return tuple(str(item) for item in items if item != "")
    if kind is bool:
        if isinstance(value, str):
            return _boolean(value)
        if not isinstance(value, bool):
            raise TypeError
        return value
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        raise TypeError
    return kind(value)


# What connections and queues work with: at least, at most.
_GATEWAY_BOUNDS = (
    ("max_queued_requests", 1, 1_000_000),
    ("max_queued_bytes", 1, 2**40),
    ("max_header_bytes", 1024, 2**20),
    ("header_timeout_seconds", 0.01, 3600),
    ("body_timeout_seconds", 0.01, 3600),
    ("keep_alive_seconds", 0.01, 86_400),
)


def _check(settings: Settings) -> None:
    def require(holds: bool, sentence: str) -> None:
        if not holds:
            raise ConfigurationError(sentence)

    require(0 <= settings.server.port < 65536, "server.port must be from 0 to 65535.")
    require(1 <= settings.server.gateways <= 64, "server.gateways must be from 1 to 64.")
    require(1 <= settings.server.max_streams <= 100_000, "server.max_streams must be from 1 to 100000.")
    _ = settings.server.public
    require(settings.registry.poll_seconds >= 0, "registry.poll_seconds must be 0 or more.")
    require(
        all(_is_root(root) for root in settings.registry.artifact_roots.split()),
        "registry.artifact_roots must be absolute paths, URIs with a host such as s3://bucket/models, or one of "
        f"{', '.join(USUAL_STORES)}, separated by spaces.",
    )
    require(settings.engine.kind == "local", "engine.kind must be 'local'.")
    engine = settings.engine
    sizes = (engine.memory_gb, engine.memory_gb_medium, engine.memory_gb_large, engine.memory_gb_total)
    require(min(sizes) >= 0, "Each setting engine.memory_gb… must be 0 or more.")
    require(
        0 <= settings.rollouts.park_seconds <= 31_536_000, "rollouts.park_seconds must be from 0 to 31536000 (a year)."
    )
    require(settings.gate.mode in tuple(GateMode), "gate.mode must be 'off', 'safe' or 'strict'.")
    require(0 <= settings.gate.max_changed_share <= 1, "gate.max_changed_share must be from 0 to 1.")
    require(1 <= settings.gate.requests <= 10_000, "gate.requests must be from 1 to 10000.")
    require(10 <= settings.gate.replay_ms <= 5000, "gate.replay_ms must be from 10 to 5000.")
    require(0 <= settings.dashboard.gb_hour_price <= 1e6, "dashboard.gb_hour_price must be from 0 to 1000000.")
    require(len(settings.dashboard.currency) <= 8, "dashboard.currency must have at most 8 characters.")
    require(settings.log.format in ("text", "json"), "log.format must be 'text' or 'json'.")
    require(settings.environments.concurrent_builds >= 1, "environments.concurrent_builds must be at least 1.")
    require(settings.environments.build_timeout_seconds > 0, "environments.build_timeout_seconds must be above 0.")
    most = wire.MAX_FRAME_BYTES - wire.OVERHEAD_BYTES
    require(1 <= settings.gateway.max_body_bytes <= most, f"gateway.max_body_bytes must be from 1 to {most}.")
    require(
        0 < settings.gateway.answer_within_seconds <= 59,
        "gateway.answer_within_seconds must be above 0 and at most 59.",
    )
    for name, least, most in _GATEWAY_BOUNDS:
        require(least <= getattr(settings.gateway, name) <= most, f"gateway.{name} must be from {least} to {most}.")
    require(
        settings.gateway.max_queued_bytes >= settings.gateway.max_body_bytes,
        "gateway.max_queued_bytes must not be below gateway.max_body_bytes: the longest bodies would get a 429.",
    )
    require(
        all(_is_origin(origin) for origin in settings.gateway.cors_origins.split()),
        "gateway.cors_origins must be origins such as https://example.org, separated by spaces, or *.",
    )
    require(
        settings.log.level.upper() in ("DEBUG", "INFO", "WARNING", "ERROR"),
        "log.level must be DEBUG, INFO, WARNING or ERROR.",
    )
    for group in dataclasses.fields(settings):
        for name, value in dataclasses.asdict(getattr(settings, group.name)).items():
            finite = not isinstance(value, float) or math.isfinite(value)
            require(finite, f"{group.name}.{name} must be a finite number.")


def _is_origin(text: str) -> bool:
    scheme, separator, host = text.partition("://")
    return text == "*" or bool(scheme and separator and host and not set(host) & set("/?#@*,"))


def _is_root(text: str) -> bool:
    scheme, separator, rest = text.removeprefix("file://").partition("://")
    if ".." in text.split("/") or text.startswith("-"):
        return False
    return text in USUAL_STORES or scheme.startswith("/") or bool(scheme and separator and rest.strip("/"))


def _boolean(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]
