"""What MLflow's client finds when it is asked for many models at once: the models, and all versions of some.

A server that knows no lists of names is asked in other ways. Whatever a model is called, the others are found.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any
from urllib.parse import quote

# A filter stands in the query's URL; proxies take 8 KiB of it.
_MAX_FILTER_BYTES = 4000
# A page: the most models that MLflow gives at once; versions that a busy server gives well within a second or two.
_MODELS, _VERSIONS = 1000, 2500
# By default it is the time of the last change, so that one which changes between two pages may be on none of them.
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

    A page begins where the one before ended, by name and number: by its place in the list, which is what MLflow's
    token says, one would be on no page when another one is deleted meanwhile.
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
    """All versions of a model of an older server. It unescapes no name: where it misreads one, it is asked for all."""
    quotes = '"' if "'" in name else "'"
    how = {"max_results": _VERSIONS, "order_by": _ORDER}
    versions = _understood(_pages, search, f"name={quotes}{name}{quotes}", **how)
    if versions is None:
        versions = _pages(search, None, **how)
    return [version for version in versions if version.name == name]


def _understood(ask: Callable[..., list[Any]], *question: object, **how: object) -> list[Any] | None:
    """What the server answers; None where it does not understand the question."""
    from mlflow.exceptions import MlflowException

    try:
        return ask(*question, **how)
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        return None


def _pages(search: Search, filter_string: str | None, **how: object) -> list[Any]:
    found, token = [], None
    while token != "":
        page = search(filter_string, page_token=token, **how)
        found += page
        token = page.token or ""
    return found


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
    """The name as MLflow reads one in a list: as Python does, after a parser of SQL to which more signs are special."""
    escaped = (sign if sign.isalnum() or sign in _PLAIN else f"\\U{ord(sign):08x}" for sign in name)
    return f"'{''.join(escaped)}'"
