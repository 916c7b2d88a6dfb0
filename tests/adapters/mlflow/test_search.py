"""What is found in real registries: models of any name, and every version while others write."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.registries import RealRegistry
from tidegate.adapters.mlflow import search
from tidegate.adapters.mlflow.registry import MlflowRegistry
from tidegate.adapters.mlflow.search import search_versions
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion
from tidegate.core.rollout.pointers import Pointer

# MLflow's store, which some of these tests import, has warnings of its own.
pytestmark = pytest.mark.filterwarnings("ignore")

STRANGE = [
    *(
        'it\'s "hi"',
        'say "hi"',
        "Renée's",
        "a\\b",
        "\\",
        "a\\",
        "'",
        "'; --",
        "(a), 'b'",
        "100 %",
        "two\nlines",
        "tab\t",
    ),
    *("a = 'b' AND name = 'c'", "🍷 rosé", "e\u0301", "\\U00000041", "{x}", "?", "name IN ('a')"),
]


@pytest.fixture(scope="module")
def strange(mlflow_server: RealRegistry) -> Iterator[RealRegistry]:
    """The server with a version of each model of a strange name, in Staging and with an alias."""
    with httpx.Client(base_url=f"{mlflow_server.uri}/api/2.0/mlflow", timeout=30) as client:

        def call(method: str, path: str, **body: str) -> None:
            client.request(method, path, json=body).raise_for_status()

        for name in STRANGE:
            call("POST", "/registered-models/create", name=name)
            call("POST", "/model-versions/create", name=name, source="s3://nowhere/model")
            call("POST", "/model-versions/transition-stage", name=name, version="1", stage="Staging")
            call("POST", "/registered-models/alias", name=name, version="1", alias="champion")
        yield mlflow_server
        for name in STRANGE:
            call("DELETE", "/registered-models/delete", name=name)


@pytest.fixture(params=["http", "sqlite"])
async def registry(request: pytest.FixtureRequest, strange: RealRegistry) -> AsyncIterator[MlflowRegistry]:
    adapter = MlflowRegistry(strange.uri if request.param == "http" else f"sqlite:///{strange.database}")
    yield adapter
    await adapter.close()


async def test_models_of_any_name_are_found_with_their_versions(registry: MlflowRegistry) -> None:
    names = [*STRANGE, "wine", 'it\'s "not there"']
    found = await registry.pointers(names, names)
    assert set(found) == {*STRANGE, "wine"}
    for name in STRANGE:
        pointer = found[name].aliases["champion"]
        assert pointer == Pointer("1", registered_at=pointer.registered_at)
        assert (found[name].aliases, found[name].stages) == ({"champion": pointer}, {"Staging": pointer})
        assert [version.version for version in found[name].versions] == ["1"]
    assert [version.version for version in found["wine"].versions] == ["2", "3"]
    resolved = await registry.resolve(ModelRef(STRANGE[0], "Staging"))
    assert resolved == ModelVersion(STRANGE[0], "1", found[STRANGE[0]].stages["Staging"].registered_at)


def test_many_names_are_asked_for_in_parts_that_fit_a_url() -> None:
    names = [f"a model with quite a long name, and number {number}" for number in range(300)]
    parts = list(search._parts([*names, "wine"]))
    assert sorted(name for part in parts for name in part) == sorted([*names, "wine"])
    assert len(parts) > 3
    assert max(len(quote(search._among(part))) for part in parts) < 6000


# --- while others write


class Busy:
    """MLflow's store; somebody else writes after each page of versions."""

    def __init__(self, client: Any, write: Callable[[Any, int], None]) -> None:
        self._client, self._write = client, write
        self.pages = 0

    def search_model_versions(self, *args: Any, **kwargs: Any) -> Any:
        page = self._client.search_model_versions(*args, **kwargs)
        self._write(self._client, self.pages)
        self.pages += 1
        return page


@pytest.fixture(scope="module")
def abc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with models a, b and c of 5 versions each."""
    database = tmp_path_factory.mktemp("abc") / "registry.db"
    store = a_store(database)
    for name in "abc":
        store.create_registered_model(name)
        for _ in range(5):
            store.create_model_version(name, "s3://nowhere/model")
    store.engine.dispose()
    return database


@pytest.fixture
def client(abc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow's SQL store on a copy of it; a page has 4 versions."""
    monkeypatch.setattr(search, "_VERSIONS", 4)
    store = a_store(Path(shutil.copy(abc, tmp_path)))
    yield store
    store.engine.dispose()


def a_store(database: Path) -> Any:
    import mlflow.store.db.utils  # noqa: F401 (the store's module takes it for imported)
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    return SqlAlchemyStore(f"sqlite:///{database}")


ALL = {name: ["1", "2", "3", "4", "5"] for name in "abc"}


def found_by(client: Any, *names: str) -> dict[str, list[str]]:
    return {name: [str(one.version) for one in of] for name, of in search_versions(client, names).items()}


def a_change(client: Any, page: int) -> None:
    client.update_model_version("a", str(page + 1), f"change {page}")


def a_deletion(client: Any, page: int) -> None:
    client.delete_model_version("a", str(page + 1))


def a_creation(client: Any, page: int) -> None:
    client.create_model_version("a", "s3://nowhere/model")


@pytest.mark.parametrize("write", [a_change, a_deletion, a_creation])
def test_what_others_write_between_two_pages_hides_no_version(client: Any, write: Callable[[Any, int], None]) -> None:
    busy = Busy(client, lambda client, page: write(client, page) if page < 3 else None)
    found = found_by(busy, "a", "b", "c")
    assert busy.pages > 3
    assert {name: versions[:5] for name, versions in found.items()} == ALL


class Old:
    """An older server: it knows no lists of names, and pages are places in a list."""

    def __init__(self, client: Any, write: Callable[[Any, int], None]) -> None:
        self._busy = Busy(client, write)
        self.asked: list[str | None] = []

    def search_model_versions(self, filter_string: str | None, **kwargs: Any) -> Any:
        from mlflow.exceptions import MlflowException

        self.asked.append(filter_string)
        if " IN (" in (filter_string or ""):
            raise MlflowException.invalid_parameter_value("Invalid clause")
        return self._busy.search_model_versions(filter_string, **kwargs)


def test_an_older_server_is_asked_model_by_model(client: Any) -> None:
    old = Old(client, a_change)
    assert found_by(old, "a", "c") == {"a": ALL["a"], "c": ALL["c"]}
    assert old.asked[1:] == ["name='a'", "name='a'", "name='c'", "name='c'"]


def test_a_name_that_an_older_server_misreads_stops_no_other(client: Any) -> None:
    name = 'it\'s "hi"'
    client.create_registered_model(name)
    client.create_model_version(name, "s3://nowhere/model")
    old = Old(client, lambda *_: None)
    assert found_by(old, "a", name) == {"a": ALL["a"], name: ["1"]}
    assert None in old.asked
