"""What every ModelRegistry promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.model_registry import FakeModel, FakeModelRegistry
from tidegate.adapters.mlflow_registry import MlflowRegistry
from tidegate.core.endpoint import ModelRef, ModelVersion
from tidegate.core.errors import Conflict, NotFound
from tidegate.core.pointers import ModelPointers, Pointer, StagedVersion
from tidegate.ports import ModelRegistry

# One adapter, and so one MLflow, for all tests, which takes 2 s to start; and one process for all with a real registry.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("registries")]

FILES = {"MLmodel": b"flavors: {}\n", "data/weights.bin": b"\1" * 300_000}


@pytest_asyncio.fixture(params=["http", "sqlite", "fake"], scope="module", loop_scope="module")
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[ModelRegistry]:
    if request.param == "fake":
        yield _fake()
        return
    real = request.getfixturevalue("mlflow_server" if request.param == "http" else "mlflow_database")
    adapter = MlflowRegistry(real.uri)
    yield adapter
    await adapter.close()


def _fake() -> FakeModelRegistry:
    fake = FakeModelRegistry()
    fake.add("wine", "1").stage = "Archived"
    fake.add("wine", "2").stage = "Production"
    fake.add("wine", "3", FILES)
    fake.models["wine"].aliases["champion"] = "2"
    fake.add("tea", "1")
    fake.add("tea", "2").status = "PENDING_REGISTRATION"
    fake.add("tea", "3").status = "FAILED_REGISTRATION"
    fake.models["tea"].aliases |= {"now": "1", "next": "2"}
    fake.models["empty"] = FakeModel()
    return fake


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("1", "1"),
        ("3", "3"),
        ("@champion", "2"),
        ("Production", "2"),
        ("archived", "1"),
        ("None", "3"),
        ("latest", "3"),
    ],
)
async def test_what_is_asked_for_has_one_exact_version(registry: ModelRegistry, asked: str, version: str) -> None:
    assert await registry.resolve(ModelRef("wine", asked)) == ModelVersion("wine", version)


@pytest.mark.parametrize(
    ("name", "asked", "sentence"),
    [
        ("beer", "1", "no model 'beer'.*wine"),
        ("beer", "@champion", "no model 'beer'.*wine"),
        ("beer", "Production", "no model 'beer'.*wine"),
        ("wine", "7", "'wine' has versions 1, 2, 3; .*7 is not there"),
        ("wine", "@challenger", "'wine' .*challenger"),
        ("wine", "Staging", "'wine' .*Staging"),
        ("wine", "nonsense", "'wine' .*nonsense"),
        ("empty", "latest", "'empty' has .*versions"),
        ("empty", "1", "'empty' has .*versions"),
    ],
)
async def test_what_is_not_there_is_named(registry: ModelRegistry, name: str, asked: str, sentence: str) -> None:
    with pytest.raises(NotFound, match=sentence):
        await registry.resolve(ModelRef(name, asked))


async def test_aliases_and_stages_of_many_models_point_somewhere(registry: ModelRegistry) -> None:
    pointers = await registry.pointers(["wine", "tea", "empty", "beer", "Renée's"])
    assert pointers == {
        "wine": ModelPointers(
            {"champion": Pointer("2")},
            {"Archived": Pointer("1"), "Production": Pointer("2"), "None": Pointer("3")},
        ),
        "tea": ModelPointers({"next": Pointer("2", ready=False), "now": Pointer("1")}, {"None": Pointer("1")}),
        "empty": ModelPointers(),
    }
    assert await registry.pointers([]) == {}


async def test_models_that_are_listed_come_with_all_their_versions(registry: ModelRegistry) -> None:
    pointers = await registry.pointers(["wine", "tea", "empty", "beer"], ["wine", "empty", "beer"])
    assert {name: one.versions for name, one in pointers.items()} == {
        "wine": (StagedVersion("1", "Archived"), StagedVersion("2", "Production"), StagedVersion("3", "None")),
        "tea": (),
        "empty": (),
    }
    listed = (await registry.pointers(["tea"], ["tea"]))["tea"]
    assert [(version.version, version.ready) for version in listed.versions] == [
        ("1", True),
        ("2", False),
        ("3", False),
    ]
    assert replace(listed, versions=()) == (await registry.pointers(["tea"]))["tea"]


@pytest.mark.parametrize("asked", ["@champion", "Production", "archived", "None"])
async def test_a_pointer_points_to_what_it_resolves_to(registry: ModelRegistry, asked: str) -> None:
    ref = ModelRef("wine", asked)
    pointer = (await registry.pointers(["wine"]))["wine"].of(ref)
    assert pointer is not None
    assert pointer.version == (await registry.resolve(ref)).version


@pytest.mark.parametrize("version", ["2", "3"])
async def test_a_version_that_is_not_ready_is_a_conflict(registry: ModelRegistry, version: str) -> None:
    with pytest.raises(Conflict, match=f"[Vv]ersion {version} of model 'tea'"):
        await registry.resolve(ModelRef("tea", version))


async def test_a_download_appears_whole_with_progress(registry: ModelRegistry, tmp_path: Path) -> None:
    lines: list[str] = []
    destination = tmp_path / "models" / "wine-3"
    await registry.download(ModelVersion("wine", "3"), destination, lines.append)
    assert (destination / "MLmodel").is_file()
    assert (destination / "data" / "weights.bin").read_bytes() == FILES["data/weights.bin"]
    assert lines[-1] == "model: 0.3 of 0.3 MB"
    assert [path.name for path in destination.parent.iterdir()] == ["wine-3"]


async def test_downloads_of_the_same_version_at_once_are_safe(registry: ModelRegistry, tmp_path: Path) -> None:
    destination = tmp_path / "wine-2"
    model = ModelVersion("wine", "2")
    await asyncio.gather(*(registry.download(model, destination, lambda _: None) for _ in range(2)))
    assert (destination / "MLmodel").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["wine-2"]


async def test_a_download_of_what_is_not_there_leaves_nothing(registry: ModelRegistry, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"7 .*is not there"):
        await registry.download(ModelVersion("wine", "7"), tmp_path / "wine-7", lambda _: None)
    assert list(tmp_path.iterdir()) == []
