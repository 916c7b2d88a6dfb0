"""A model registry in memory, for tests of what stands above it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.core.endpoint.registered_model import ModelDetails, ModelSignature, RegisteredModel, RegisteredVersion
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion
from tidegate.core.errors import Conflict, NotFound, TidegateError
from tidegate.core.rollout.pointers import ARCHIVED, ModelPointers, Pointer, StagedVersion
from tidegate.model_files import load_texts
from tidegate.ports import Log, ModelRegistry


@dataclass
class FakeVersion:
    """A version: its files by path, when it was registered, its stage, and whether it is READY."""

    files: Mapping[str, bytes]
    registered_at: int = 0
    stage: str = "None"
    status: str = "READY"
    message: str = ""
    description: str = ""
    run_id: str = ""


@dataclass
class FakeModel:
    """A registered model: versions by number, aliases to them."""

    versions: dict[str, FakeVersion] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    description: str = ""


class FakeModelRegistry:
    """Holds what a test puts into `models`. While `failure` is set, every method raises it."""

    def __init__(self) -> None:
        self.models: dict[str, FakeModel] = {}
        self.failure: TidegateError | None = None
        self.registered = 0  # versions so far; the time goes on by one at each
        self.downloads: list[ModelVersion] = []
        self.lists = 0  # how often all models were asked for
        self.asked: list[frozenset[str]] = []  # the names of each question for pointers

    def add(self, name: str, version: str, files: Mapping[str, bytes] | None = None) -> FakeVersion:
        """Register a version; without `files` it has an MLmodel file only."""
        self.registered += 1
        added = FakeVersion(files or {"MLmodel": b"flavors: {}\n"}, self.registered)
        self.models.setdefault(name, FakeModel()).versions[version] = added
        return added

    async def resolve(self, ref: ModelRef) -> ModelVersion:
        self._work()
        model = self._model(ref.name)
        version = self._find(model, ref)
        status = model.versions[version].status
        if status != "READY":
            raise Conflict(f"Version {version} of model '{ref.name}' is not ready: {status}.")
        return ModelVersion(ref.name, version, model.versions[version].registered_at)

    async def pointers(self, names: Collection[str], listed: Collection[str] = ()) -> Mapping[str, ModelPointers]:
        self._work()
        self.asked.append(frozenset(names))
        there = {name: self.models[name] for name in names if name in self.models}
        return {name: _pointers(model, name in listed) for name, model in there.items()}

    async def list_models(self) -> tuple[RegisteredModel, ...]:
        self._work()
        self.lists += 1
        return tuple(_listed(name, self.models[name]) for name in sorted(self.models))

    async def describe(self, name: str) -> ModelDetails:
        self._work()
        model = self._model(name)
        versions = (_registered(model, number) for number in sorted(model.versions, key=int, reverse=True))
        return ModelDetails(_listed(name, model), model.description, tuple(versions))

    async def signature(self, model: ModelVersion) -> ModelSignature:
        self._work()
        files = self._model(model.name).versions[model.version].files
        told = load_texts(files["MLmodel"].decode()).get("signature") or {}
        return ModelSignature(**{part: text for part, text in told.items() if text})

    async def download(self, model: ModelVersion, destination: Path, log: Log) -> None:
        self._work()
        found = self._model(model.name).versions.get(model.version)
        if found is None or model.registered_at not in (0, found.registered_at):
            raise NotFound(f"Version {model.version} of model '{model.name}' is not there.")
        self.downloads.append(model)
        size = sum(map(len, found.files.values())) / 1e6
        log(f"model: {size:.1f} of {size:.1f} MB")
        for path, content in found.files.items():
            (destination / path).parent.mkdir(parents=True, exist_ok=True)
            (destination / path).write_bytes(content)

    def _work(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _model(self, name: str) -> FakeModel:
        if name not in self.models:
            raise NotFound(f"The registry has no model '{name}'. It has {', '.join(self.models)}.")
        return self.models[name]

    def _find(self, model: FakeModel, ref: ModelRef) -> str:
        if ref.alias is not None:
            found = [model.aliases[ref.alias]] if ref.alias in model.aliases else []
        elif ref.version.isdecimal() or ref.version == "latest":
            found = [number for number in model.versions if ref.version in (number, "latest")]
        else:
            found = [n for n, version in model.versions.items() if version.stage.lower() == ref.version.lower()]
        if not found:
            raise NotFound(f"Model '{ref.name}' has versions {', '.join(model.versions)}; {ref.version} is not there.")
        return max(found, key=int)


def _listed(name: str, model: FakeModel) -> RegisteredModel:
    stages = {model.versions[number].stage: number for number in sorted(model.versions, key=int)}
    newest = max(model.versions, key=int, default="")
    changed_at = max((version.registered_at / 1000 for version in model.versions.values()), default=0.0)
    return RegisteredModel(name, newest, stages, dict(model.aliases), changed_at)


def _registered(model: FakeModel, number: str) -> RegisteredVersion:
    one = model.versions[number]
    aliases = tuple(sorted(alias for alias, version in model.aliases.items() if version == number))
    return RegisteredVersion(
        number, one.stage, aliases, one.status, one.message, one.registered_at, one.description, one.run_id
    )


def _pointers(model: FakeModel, listed: bool) -> ModelPointers:
    def pointer(version: str) -> Pointer:
        there = model.versions[version]
        return Pointer(version, there.status == "READY", there.registered_at)

    def preference(version: str) -> tuple[bool, int]:
        return pointer(version).ready, int(version)

    stages = {model.versions[v].stage: pointer(v) for v in sorted(model.versions, key=preference)}
    versions = tuple(
        StagedVersion(n, model.versions[n].stage, pointer(n).ready, pointer(n).registered_at)
        for n in sorted(model.versions, key=int)
        if model.versions[n].stage != ARCHIVED
    )
    aliases = {alias: pointer(version) for alias, version in model.aliases.items()}
    return ModelPointers(aliases, stages, versions if listed else ())


_: type[ModelRegistry] = FakeModelRegistry
