"""Validation of the names and configurations that an endpoint's owner sends."""

import re
from collections.abc import Iterable

from tidegate.core.endpoint.endpoint import MAX_SERVED_ENTITIES, EndpointConfig
from tidegate.core.endpoint.names import RESERVED_PREFIX
from tidegate.core.endpoint.served_entity import (
    MAX_ENVIRONMENT_VARS,
    MAX_VARIABLE_BYTES,
    WORKLOAD_SIZES,
    ServedEntity,
    is_reserved_variable,
)
from tidegate.core.errors import InvalidParameter

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_name(name: str, what: str = "endpoint") -> None:
    """Raise InvalidParameter unless `name` is 1 to 63 letters, digits, dashes and underscores."""
    if not _NAME.fullmatch(name):
        raise InvalidParameter(
            f"'{name[:80]}' cannot name the {what}: use 1 to 63 letters, digits, dashes and underscores, "
            "starting with a letter or digit."
        )
    if name.startswith(RESERVED_PREFIX):
        raise InvalidParameter(f"The {what}'s name may not start with '{RESERVED_PREFIX}'. Choose another one.")


def check_config(config: EndpointConfig) -> None:
    """Raise InvalidParameter, naming the field, unless the configuration can be served."""
    entities = config.served_entities
    if not 1 <= len(entities) <= MAX_SERVED_ENTITIES:
        raise InvalidParameter(
            f"An endpoint serves 1 to {MAX_SERVED_ENTITIES} entities; served_entities has {len(entities)}."
        )
    _check_unique((entity.name for entity in entities), "served_entities")
    for entity in entities:
        _check_entity(entity)
    _check_routes(config)


def _check_entity(entity: ServedEntity) -> None:
    check_name(entity.name, "served entity")
    if entity.workload_size not in WORKLOAD_SIZES:
        raise InvalidParameter(f"workload_size is {entity.workload_size!r}; choose one of {', '.join(WORKLOAD_SIZES)}.")
    low, high = entity.min_provisioned_concurrency, entity.max_provisioned_concurrency
    if (low or 0) < 0 or (high is not None and (high < 1 or (low or 0) > high)):
        raise InvalidParameter(
            f"{entity.name}: provisioned concurrency must be 0 <= min <= max and max >= 1; got min {low}, max {high}."
        )
    if not 0 < entity.timeout_seconds <= 60:
        raise InvalidParameter(f"{entity.name}: timeout_seconds must be over 0 and at most 60.")
    if entity.idle_timeout_seconds < 1:
        raise InvalidParameter(f"{entity.name}: idle_timeout_seconds must be at least 1.")
    if len(entity.environment_vars) > MAX_ENVIRONMENT_VARS:
        raise InvalidParameter(f"{entity.name}: at most {MAX_ENVIRONMENT_VARS} environment_vars.")
    for key, value in entity.environment_vars:
        _check_variable(entity.name, key, value)


def _check_variable(entity: str, key: str, value: str) -> None:
    if not _VARIABLE.fullmatch(key) or "\0" in value:
        raise InvalidParameter(
            f"{entity}: {key[:80]!r} in environment_vars cannot be set: a name has letters, digits and "
            "underscores and begins with no digit, and a value has no NUL."
        )
    if len((key + value).encode(errors="surrogatepass")) > MAX_VARIABLE_BYTES:
        raise InvalidParameter(
            f"{entity}: {key[:80]} in environment_vars is longer than {MAX_VARIABLE_BYTES // 1024} KiB. "
            "Log long values with the model as a file."
        )
    if is_reserved_variable(key):
        raise InvalidParameter(
            f"{entity}: {key[:80]} in environment_vars is reserved: a replica takes its programs, its code and its "
            "libraries from the model and its environment alone. Leave the variable out; log code with the model "
            "(code_paths) or as a requirement."
        )


def _check_routes(config: EndpointConfig) -> None:
    _check_unique((route.served_entity for route in config.routes), "traffic_config.routes")
    for route in config.routes:
        if config.entity(route.served_entity) is None:
            raise InvalidParameter(f"traffic_config names '{route.served_entity}', which is not a served entity.")
        if not 0 <= route.traffic_percentage <= 100:
            raise InvalidParameter(f"The traffic_percentage of '{route.served_entity}' must be from 0 to 100.")
    total = sum(route.traffic_percentage for route in config.routes)
    if total != 100:
        raise InvalidParameter(f"The traffic percentages must add up to 100; they add up to {total}.")


def _check_unique(names: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidParameter(f"{where} names '{name}' twice; names must differ.")
        seen.add(name)
