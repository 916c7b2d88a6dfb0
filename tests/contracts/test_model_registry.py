"""What every ModelRegistry promises."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.model_registry import FakeModel, FakeModelRegistry
from tidegate.adapters.mlflow.registry import MlflowRegistry
from tidegate.core.endpoint.registered_model import ModelSignature
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion
from tidegate.core.errors import Conflict, NotFound
from tidegate.core.rollout.pointers import ModelPointers, Pointer, StagedVersion
from tidegate.ports import ModelRegistry

# One adapter, and so one MLflow, for all tests, which takes 2 s to start.
pytestmark = pytest.mark.asyncio(loop_scope="module")

SIGNED = {
    "MLmodel": b"""\
flavors: {}
signature:
  inputs: '[{"type": "double", "name": "acid", "required": true}]'
  outputs: '[{"type": "double", "required": true}]'
  params: null
"""
}
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
    fake.add("wine", "2", SIGNED).stage = "Production"
    fake.add("wine", "3", FILES)
    fake.models["wine"].aliases["champion"] = "2"
    fake.add("tea", "1")
    fake.add("tea", "2").status = "PENDING_REGISTRATION"
    fake.add("tea", "3").status = "FAILED_REGISTRATION"
    fake.models["tea"].aliases |= {"now": "1", "next": "2"}
    fake.models["empty"] = FakeModel()
    return fake


def timeless(model: ModelPointers) -> ModelPointers:
    """The same without the times of registration, which differ from run to run."""
    return ModelPointers(
        {alias: replace(pointer, registered_at=0) for alias, pointer in model.aliases.items()},
        {stage: replace(pointer, registered_at=0) for stage, pointer in model.stages.items()},
        tuple(replace(version, registered_at=0) for version in model.versions),
    )


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
    resolved = await registry.resolve(ModelRef("wine", asked))
    assert (resolved.name, resolved.version) == ("wine", version)
    assert resolved.registered_at > 0


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
    assert {name: timeless(one) for name, one in pointers.items()} == {
        "wine": ModelPointers(
            {"champion": Pointer("2")},
            {"Archived": Pointer("1"), "Production": Pointer("2"), "None": Pointer("3")},
        ),
        "tea": ModelPointers({"next": Pointer("2", ready=False), "now": Pointer("1")}, {"None": Pointer("1")}),
        "empty": ModelPointers(),
    }
    assert await registry.pointers([]) == {}


async def test_models_that_are_listed_come_with_all_their_versions_but_those_archived(registry: ModelRegistry) -> None:
    pointers = await registry.pointers(["wine", "tea", "empty", "beer"], ["wine", "empty", "beer"])
    assert {name: timeless(one).versions for name, one in pointers.items()} == {
        "wine": (StagedVersion("2", "Production"), StagedVersion("3", "None")),
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
    assert ModelVersion("wine", pointer.version, pointer.registered_at) == await registry.resolve(ref)


async def test_a_listed_version_is_what_it_resolves_to(registry: ModelRegistry) -> None:
    for listed in (await registry.pointers(["wine"], ["wine"]))["wine"].versions:
        exact = ModelVersion("wine", listed.version, listed.registered_at)
        assert exact == await registry.resolve(ModelRef("wine", listed.version))


async def test_all_models_are_listed_by_name_with_what_they_point_to(registry: ModelRegistry) -> None:
    found = {model.name: model for model in await registry.list_models()}
    assert list(found) == sorted(found)
    wine, empty = found["wine"], found["empty"]
    assert (wine.newest, wine.aliases) == ("3", {"champion": "2"})
    assert wine.stages == {"Archived": "1", "Production": "2", "None": "3"}
    assert wine.changed_at > 0
    assert (empty.newest, empty.stages, empty.aliases) == ("", {}, {})


async def test_a_model_has_its_versions_of_whatever_status_the_newest_first(registry: ModelRegistry) -> None:
    wine, tea, empty = [await registry.describe(name) for name in ("wine", "tea", "empty")]
    assert [(one.version, one.stage, one.aliases, one.status) for one in wine.versions] == [
        ("3", "None", (), "READY"),
        ("2", "Production", ("champion",), "READY"),
        ("1", "Archived", (), "READY"),
    ]
    assert wine.model == next(model for model in await registry.list_models() if model.name == "wine")
    assert all(one.registered_at > 0 for one in wine.versions)
    assert [one.status for one in tea.versions] == ["FAILED_REGISTRATION", "PENDING_REGISTRATION", "READY"]
    assert empty.versions == ()
    with pytest.raises(NotFound, match="no model 'beer'"):
        await registry.describe("beer")


async def test_a_signature_is_read_from_the_versions_files(registry: ModelRegistry) -> None:
    assert await registry.signature(ModelVersion("wine", "3")) == ModelSignature()
    told = await registry.signature(ModelVersion("wine", "2"))
    assert json.loads(told.inputs) == [{"type": "double", "name": "acid", "required": True}]
    assert json.loads(told.outputs) == [{"type": "double", "required": True}]
    assert told.params == ""


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


@pytest.mark.parametrize(
    "changes",
    [("delete", "register"), ("stage", "alias", "description", "rename", "rename back")],
    ids=["anew", "kept"],
)
async def test_what_a_version_is_changes_when_its_model_is_registered_anew_and_else_never(
    registry: ModelRegistry, changes: tuple[str, ...], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    owner = Owner(registry, request)
    await owner.do("delete", "register")
    (before,) = await known_as(registry)
    await owner.do(*changes)
    (after,) = await known_as(registry)
    assert (after == before) is ("delete" not in changes)
    if after != before:
        with pytest.raises(NotFound, match="ersion 1 of model 'jam'"):
            await registry.download(before, tmp_path / "jam", lambda _: None)
        assert list(tmp_path.iterdir()) == []
    await registry.download(after, tmp_path / "jam", lambda _: None)


async def known_as(registry: ModelRegistry) -> set[ModelVersion]:
    """What version 1 of `jam` is, by every way to ask for it."""
    resolved = {await registry.resolve(ModelRef("jam", asked)) for asked in ("1", "@champion", "latest")}
    model = (await registry.pointers(["jam"], ["jam"]))["jam"]
    pointed: list[Pointer | StagedVersion] = [*model.aliases.values(), *model.stages.values(), *model.versions]
    return resolved | {ModelVersion("jam", one.version, one.registered_at) for one in pointed}


class Owner:
    """Owns the registered model `jam` in a registry of any kind."""

    def __init__(self, registry: ModelRegistry, request: pytest.FixtureRequest) -> None:
        self._registry, self._request = registry, request

    async def do(self, *changes: str) -> None:
        if isinstance(self._registry, FakeModelRegistry):
            for change in changes:
                _change(self._registry, change)
            return
        fixture = "mlflow_server" if "http" in self._request.node.callspec.id else "mlflow_database"
        await asyncio.to_thread(self._request.getfixturevalue(fixture).change, "jam", *changes)


def _change(fake: FakeModelRegistry, change: str) -> None:
    match change:
        case "delete":
            fake.models.pop("jam", None)
        case "register":
            fake.add("jam", "1")
            fake.models["jam"].aliases["champion"] = "1"
        case "stage":
            fake.models["jam"].versions["1"].stage = "Production"
        case "alias":
            fake.models["jam"].aliases["other"] = "1"
        case "rename":
            fake.models["jelly"] = fake.models.pop("jam")
        case "rename back":
            fake.models["jam"] = fake.models.pop("jelly")


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
