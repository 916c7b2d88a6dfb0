"""Finds many models, and all versions of some, by few queries of MLflow's client.

A server that knows no lists of names in a filter gets other queries. No name of a model hides the other models.
"""

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any
from urllib.parse import quote

# A filter is a part of the query's URL, of which proxies accept 8 KiB.
_MAX_FILTER_BYTES = 4000
# The size of a page: MLflow's maximum for models; the versions that a busy server returns within 2 s.
_MODELS, _VERSIONS = 1000, 2500
# MLflow's default order is the time of the last change: a model that changes between two pages may be on neither.
_ORDER = ["name ASC", "version_number ASC"]
_PLAIN = " _-."

Search = Callable[..., Any]
"""`search_registered_models` or `search_model_versions` of a client."""


def search_models(client: Any, names: Collection[str]) -> dict[str, Any]:
    """The models of these names that there are, by name."""
    search, found = client.search_registered_models, dict[str, Any]()
    for part in _parts(names):
        models = _understood(_pages, search, _among(part), max_results=_MODELS)
        if models is None:  # an older server: all its models
            models = _pages(search, None, max_results=_MODELS)
        found |= {model.name: model for model in models if model.name in part}
    return found


def first_models(client: Any, most: int) -> list[Any]:
    """The first models by name, at most `most`."""
    return _pages(client.search_registered_models, None, most, max_results=_MODELS, order_by=["name ASC"])


def search_versions(client: Any, names: Collection[str]) -> dict[str, list[Any]]:
    """All versions of these models by model, oldest first. A model that has none is left out."""
    search, found = client.search_model_versions, dict[str, dict[int, Any]]()
    for part in _parts(names):
        versions = _understood(_of_many, search, part)
        if versions is None:  # an older server: one by one
            versions = [version for name in part for version in _of_one(search, name)]
        for version in versions:
            found.setdefault(version.name, {})[int(version.version)] = version
    return {name: [of[number] for number in sorted(of)] for name, of in found.items()}


def all_versions(client: Any, name: str) -> list[Any]:
    """All versions of a model, oldest first."""
    return search_versions(client, [name]).get(name, [])


def _of_many(search: Search, names: Collection[str]) -> list[Any]:
    """All versions of these models.

    A page begins after the last name and number of the page before. MLflow's token is a position in the list, by which
    a version would be skipped when an earlier one is deleted in between.
    """
    found: list[Any] = []
    asked = [(list(names), 0)]
    while asked:
        rest, after = asked.pop()
        newer = f" AND version_number > {after}" if after else ""
        page = search(_among(rest) + newer, max_results=_VERSIONS, order_by=_ORDER)
        found += page
        if page.token:
            last, seen = page[-1], {version.name for version in page}
            asked.append(([last.name], int(last.version)))
            if unseen := [name for name in rest if name not in seen]:
                asked.append((unseen, 0))
    return found


def _of_one(search: Search, name: str) -> list[Any]:
    """All versions of a model of an older server. Where the server misreads the name, it is asked for all models."""
    quotes = '"' if "'" in name else "'"
    how: dict[str, Any] = {"max_results": _VERSIONS, "order_by": _ORDER}
    versions = _understood(_pages, search, f"name={quotes}{name}{quotes}", **how)
    if versions is None:
        versions = _pages(search, None, **how)
    return [version for version in versions if version.name == name]


def _understood(ask: Callable[..., list[Any]], *question: object, **how: object) -> list[Any] | None:
    """The server's answer; None where it does not understand the query."""
    from mlflow.exceptions import MlflowException

    try:
        return ask(*question, **how)
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        return None


def _pages(search: Search, filter_string: str | None, most: float = math.inf, **how: object) -> list[Any]:
    found, token = list[Any](), None
    while token != "" and len(found) < most:
        page = search(filter_string, page_token=token, **how)
        found += page
        token = page.token or ""
    return found if len(found) <= most else found[: int(most)]


def _parts(names: Collection[str]) -> Iterator[list[str]]:
    """These names in parts whose filters are short enough for a URL."""
    part: list[str] = []
    for name in sorted(names):
        if part and len(quote(_among([*part, name]))) > _MAX_FILTER_BYTES:
            yield part
            part = []
        part.append(name)
    if part:
        yield part


def _among(names: Collection[str]) -> str:
    return f"name IN ({','.join(map(_literal, names))})"


def _literal(name: str) -> str:
    """The name as a literal in a list. An SQL parser reads it first, and then Python's parser of literals."""
    escaped = (sign if sign.isalnum() or sign in _PLAIN else f"\\U{ord(sign):08x}" for sign in name)
    return f"'{''.join(escaped)}'"
