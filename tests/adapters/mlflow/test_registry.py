"""The MLflow registry's own promises: what faults get, what is left behind, what is kept apart."""

import asyncio
import json
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
import pytest_asyncio

from tests.registries import RealRegistry
from tidegate.adapters.mlflow import client_pool
from tidegate.adapters.mlflow.registry import MlflowRegistry
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion
from tidegate.core.errors import BuildFailed, ConfigurationError, NotFound, TidegateError, Unavailable
from tidegate.core.rollout.pointers import ModelPointers, Pointer, StagedVersion

pytestmark = pytest.mark.asyncio(loop_scope="module")

WINE = ModelRef("wine", "1")


class Answering(ThreadingHTTPServer):
    """A registry that gives the same answer to everything, or what `answers` says, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self, status: int, body: str = "{}", delay: float = 0) -> None:
        self.authorizations: list[str | None] = []
        self.always = status, body
        self.answers: Callable[[str], tuple[int, str]] = lambda _: self.always
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.authorizations.append(self.headers["Authorization"])
                time.sleep(delay)
                status, body = server.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Retry-After", "100")
                if status == 302:
                    self.send_header("Location", body)
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET  # noqa: N815 (the base class looks it up by this name)

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def answer(self, path: str) -> tuple[int, str]:
        return self.answers(path)

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(mlflow_database: RealRegistry) -> AsyncIterator[MlflowRegistry]:
    """One adapter, and so one MLflow, for all tests that can share it."""
    adapter = MlflowRegistry(mlflow_database.uri)
    yield adapter
    await adapter.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told() -> AsyncIterator[tuple[Answering, MlflowRegistry]]:
    """A server that answers as it is told to, and an adapter of it, which has a token."""
    server = Answering(500)
    adapter = MlflowRegistry(server.uri, "secret-token")
    yield server, adapter
    await adapter.close()
    server.stop()


@pytest.fixture
def server(told: tuple[Answering, MlflowRegistry]) -> Answering:
    """That server, which was sent nothing yet."""
    server, _ = told
    server.always = 500, "{}"
    server.answers = lambda _: server.always
    server.authorizations.clear()
    return server


@pytest.fixture
def adapter(told: tuple[Answering, MlflowRegistry], server: Answering) -> MlflowRegistry:
    """The adapter of that server."""
    return told[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def away() -> AsyncIterator[MlflowRegistry]:
    """An adapter of a server that is not there."""
    adapter = MlflowRegistry("http://user:pass@127.0.0.1:9")
    yield adapter
    await adapter.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spoilt(
    mlflow_database: RealRegistry, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Path, MlflowRegistry]]:
    """A copy of the registry that is only a database, to spoil, and an adapter of it."""
    database = Path(shutil.copy(mlflow_database.database, tmp_path_factory.mktemp("spoilt") / "registry.db"))
    adapter = MlflowRegistry(f"sqlite:///{database}")
    yield database, adapter
    await adapter.close()


@pytest.fixture
def beside(spoilt: tuple[Path, MlflowRegistry]) -> Path:
    """A new folder beside that database, where its files may be."""
    database, _ = spoilt
    return Path(tempfile.mkdtemp(dir=database.parent))


async def resolve_error(adapter: MlflowRegistry) -> TidegateError:
    with pytest.raises(TidegateError) as caught:
        await adapter.resolve(WINE)
    return caught.value


async def test_an_unreachable_server_is_unavailable(away: MlflowRegistry) -> None:
    error = await resolve_error(away)
    assert isinstance(error, Unavailable)
    assert "http://127.0.0.1:9 cannot be used now: Connection refused" in error.message
    assert error.retry_after


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (500, "{}", Unavailable, "500 error"),
        (503, "<html>away</html>", Unavailable, "503 error"),
        (
            401,
            '{"error_code": "UNAUTHENTICATED", "message": "no"}',
            ConfigurationError,
            "refused the credentials (401)",
        ),
        (403, "<html>forbidden</html>", ConfigurationError, "refused the credentials (403)"),
        (404, "<html>no such page</html>", ConfigurationError, "not an MLflow server"),
        (200, "<html>a login page</html>", Unavailable, "JSON"),
    ],
)
async def test_a_server_that_fails_is_told_apart(
    server: Answering,
    adapter: MlflowRegistry,
    status: int,
    body: str,
    kind: type[TidegateError],
    sentence: str,
) -> None:
    server.always = status, body
    error = await resolve_error(adapter)
    assert type(error) is kind
    assert sentence in error.message


async def test_a_server_that_hangs_is_unavailable_within_ten_seconds() -> None:
    server = Answering(200, delay=30)
    adapter = MlflowRegistry(server.uri)
    pool = adapter._processes
    await pool._give_back(await pool._borrow())  # MLflow's import is not what is measured
    started = time.monotonic()
    try:
        with pytest.raises(Unavailable, match=r"timed out|did not answer"):
            await adapter.resolve(WINE)
    finally:
        await adapter.close()
        server.stop()
    assert time.monotonic() - started < 10


async def test_the_token_goes_to_the_registry_and_nowhere_else(server: Answering, adapter: MlflowRegistry) -> None:
    server.always = 401, "{}"
    await resolve_error(adapter)
    assert set(server.authorizations) == {"Bearer secret-token"}
    assert "secret-token" not in os.environ.values()


class Old:
    """What a server answers that refuses lists of names in a filter, and gives all models it has, page by page."""

    def __init__(self) -> None:
        self.asked: list[dict[str, list[str]]] = []

    def answer(self, path: str) -> tuple[int, str]:
        query = parse_qs(urlsplit(path).query)
        self.asked.append(query)
        if "name IN" in query.get("filter", [""])[0]:
            return 400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid clause"}'
        version = {"name": "wine", "version": "4", "status": "READY", "current_stage": "None"}
        if "model-versions" in path:
            return 200, json.dumps({"model_versions": [version] if "name='wine'" in query["filter"][0] else []})
        aliases = [{"alias": "champion", "version": "4"}]
        wine = {"name": "wine", "aliases": aliases, "latest_versions": [version]}
        if "page_token" in query:
            return 200, json.dumps({"registered_models": [wine]})
        return 200, json.dumps({"registered_models": [{"name": "other"}], "next_page_token": "1"})


async def test_an_older_server_is_asked_for_all_models(server: Answering, adapter: MlflowRegistry) -> None:
    old = Old()
    server.answers = old.answer
    pointers = await adapter.pointers(["wine", "tea"])
    asked = len(old.asked)
    listed = await adapter.pointers(["wine", "tea"], ["wine"])
    assert pointers == {"wine": ModelPointers({"champion": Pointer("4")}, {"None": Pointer("4")})}
    assert asked == 3
    assert listed["wine"].versions == (StagedVersion("4", "None"),)


def an_alias_of(megabytes: int) -> tuple[int, str]:
    """A registry's answer that is as long as an alias of this length."""
    aliases = [{"alias": "a" * megabytes * 2**20, "version": "1"}]
    version = {"name": "wine", "version": "1", "status": "READY", "current_stage": "None"}
    wine = {"name": "wine", "aliases": aliases, "latest_versions": [version]}
    return 200, json.dumps({"registered_models": [wine]})


async def test_an_answer_that_is_too_long_is_a_sentence(server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_pool, "_MAX_ANSWER_MB", 4)
    adapter = MlflowRegistry(server.uri)
    try:
        server.always = an_alias_of(2)
        assert list(await adapter.pointers(["wine"])) == ["wine"]
        server.always = an_alias_of(6)
        with pytest.raises(Unavailable, match=r"answer is longer than 4 MB\. Archive"):
            await adapter.pointers(["wine"])
    finally:
        await adapter.close()


@pytest.mark.parametrize("verb", ["resolve", "pointers"])
async def test_a_registry_that_is_away_says_so_to_every_question(away: MlflowRegistry, verb: str) -> None:
    with pytest.raises(Unavailable, match="Connection refused"):
        await (away.resolve(WINE) if verb == "resolve" else away.pointers(["wine"]))


@pytest.mark.parametrize("content", [None, b"not a database" * 1000])
async def test_a_database_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "registry.db"
    if content is not None:
        file.write_bytes(content)
    adapter = MlflowRegistry(f"sqlite:///{file}")
    try:
        error = await resolve_error(adapter)
    finally:
        await adapter.close()
    assert isinstance(error, ConfigurationError | Unavailable)
    assert str(file) in error.message
    assert content is not None or not file.exists()


async def test_the_child_that_was_killed_is_replaced(registry: MlflowRegistry) -> None:
    assert (await registry.resolve(WINE)).version == "1"
    (process,) = registry._processes._idle
    process.kill()
    await process.wait()
    assert (await registry.resolve(WINE)).version == "1"


async def test_a_version_that_the_disk_cannot_hold_leaves_nothing(
    registry: MlflowRegistry, mlflow_database: RealRegistry, tmp_path: Path
) -> None:
    huge = _weights(mlflow_database) / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(2**43)  # 8.8 TB that take no room
    try:
        with pytest.raises(Unavailable, match=r"disk for models is full: 8796\d+\.\d MB are needed") as caught:
            await registry.download(ModelVersion("wine", "3"), tmp_path / "wine-3", lambda _: None)
    finally:
        huge.unlink()
    assert caught.value.retry_after
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_cannot_be_made_is_a_sentence(registry: MlflowRegistry, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(Unavailable, match="cannot be kept in"):
        await registry.download(ModelVersion("wine", "1"), tmp_path / "models" / "wine-1", lambda _: None)


ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


class ArtifactServer(Answering):
    """A server that keeps one file, which it sends when it is told to."""

    def __init__(self) -> None:
        super().__init__(200)
        self.may_send = threading.Event()

    def answer(self, path: str) -> tuple[int, str]:
        if "path=" in path:
            return 200, json.dumps({"files": [{"path": "MLmodel", "is_dir": False, "file_size": 2}]})
        self.may_send.wait(60)
        return 200, "{}"

    def stop(self) -> None:
        self.may_send.set()
        super().stop()


@pytest.fixture
def elsewhere() -> Iterator[ArtifactServer]:
    """A host that is not the registry's."""
    server = ArtifactServer()
    yield server
    server.stop()


async def test_a_cancelled_download_ends_and_leaves_nothing(
    spoilt: tuple[Path, MlflowRegistry], elsewhere: ArtifactServer, tmp_path: Path
) -> None:
    database, _ = spoilt
    _set_source(database, f"{elsewhere.uri}{ARTIFACTS}/1")
    registry = MlflowRegistry(f"sqlite:///{database}", artifact_roots=(f"{elsewhere.uri}{ARTIFACTS}",))
    begun = asyncio.Event()
    destination = tmp_path / "models" / "wine-3"
    download = asyncio.ensure_future(registry.download(ModelVersion("wine", "3"), destination, lambda _: begun.set()))
    await asyncio.wait_for(begun.wait(), 30)
    assert not destination.exists()
    during = clients()
    download.cancel()
    with pytest.raises(asyncio.CancelledError):
        await download
    assert list(destination.parent.iterdir()) == []
    assert len(clients()) == len(during) - 1


def clients() -> list[psutil.Process]:
    """The processes of all adapters here."""
    return [child for child in psutil.Process().children() if "registry client" in "".join(child.cmdline())]


async def test_a_version_without_files_is_named(
    spoilt: tuple[Path, MlflowRegistry], beside: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="has no files at"):
        await _download(spoilt, beside / "nowhere", tmp_path)


async def test_a_version_that_is_no_model_is_named(
    spoilt: tuple[Path, MlflowRegistry], beside: Path, tmp_path: Path
) -> None:
    (beside / "notes.txt").write_text("not a model")
    with pytest.raises(BuildFailed, match="no MLmodel file"):
        await _download(spoilt, beside, tmp_path)


async def test_files_that_only_a_server_has_are_named(spoilt: tuple[Path, MlflowRegistry], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="http address"):
        await _download(spoilt, "mlflow-artifacts:/1/models/m-1/artifacts", tmp_path)


@pytest.mark.parametrize("source", ["http", "through an experiment", "mlflow-artifacts", "file"])
async def test_a_source_elsewhere_is_refused_before_anything_is_sent(
    server: Answering,
    adapter: MlflowRegistry,
    elsewhere: ArtifactServer,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    source: str,
) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    (other / "MLmodel").write_text("{}")
    at = {"mlflow-artifacts": elsewhere.uri.replace("http:", "mlflow-artifacts:"), "file": str(other)}
    where = at.get(source, f"{elsewhere.uri}{ARTIFACTS}/1")
    server.answers = Sourced(where, logged=source == "through an experiment").answer
    with pytest.raises(ConfigurationError, match=r"ersion 3 of model 'wine' are at .*artifact_roots") as caught:
        await adapter.download(ModelVersion("wine", "3"), tmp_path / "models" / "wine-3", lambda _: None)
    assert elsewhere.authorizations == []
    assert "secret" not in caught.value.message
    assert list((tmp_path / "models").iterdir()) == []


async def test_a_host_to_which_the_registry_sends_on_does_not_get_the_token(
    server: Answering, adapter: MlflowRegistry, elsewhere: ArtifactServer, tmp_path: Path
) -> None:
    server.answers = Sourced("mlflow-artifacts:/1", sends_on_to=elsewhere.uri).answer
    elsewhere.may_send.set()
    await adapter.download(ModelVersion("wine", "3"), tmp_path / "wine-3", lambda _: None)
    assert set(server.authorizations) == {"Bearer secret-token"}
    assert set(elsewhere.authorizations) == {None}


class Sourced:
    """A registry's answers where version 3 of `wine` has its files there; `logged`: by way of a logged model."""

    def __init__(self, source: str, *, logged: bool = False, sends_on_to: str = "") -> None:
        self._source, self._logged, self._sends_on_to = source, logged, sends_on_to

    def answer(self, path: str) -> tuple[int, str]:
        if "mlflow-artifacts" in path and self._sends_on_to:
            return 302, self._sends_on_to + path
        if "get-download-uri" in path:
            return 200, json.dumps({"artifact_uri": "models:/m-1" if self._logged else self._source})
        if "logged-models" in path:
            info = {"model_id": "m-1", "experiment_id": "1", "name": "wine", "artifact_uri": self._source}
            return 200, json.dumps({"model": {"info": info, "data": {}}})
        return 200, json.dumps({"model_version": {"name": "wine", "version": "3", "status": "READY"}})


async def test_a_link_or_a_pipe_in_a_version_is_named(
    spoilt: tuple[Path, MlflowRegistry], beside: Path, tmp_path: Path
) -> None:
    (beside / "MLmodel").write_text("{}")
    (beside / "secret").symlink_to("/etc/passwd")
    with pytest.raises(BuildFailed, match="ersion 3 of model 'wine' cannot be copied: 'secret' is a link to a file"):
        await _download(spoilt, beside, tmp_path)
    (beside / "secret").unlink()
    os.mkfifo(beside / "endless")
    with pytest.raises(BuildFailed, match="'endless' is neither a file nor a folder"):
        await _download(spoilt, beside, tmp_path)


async def _download(spoilt: tuple[Path, MlflowRegistry], source: Path | str, folder: Path) -> None:
    """Download version 3 of `wine`, whose files are to be found at `source`."""
    database, adapter = spoilt
    _set_source(database, source)
    try:
        await adapter.download(ModelVersion("wine", "3"), folder / "models" / "wine-3", lambda _: None)
    finally:
        assert list((folder / "models").iterdir()) == []


def _set_source(database: Path, source: Path | str) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE model_versions SET storage_location=? WHERE name='wine' AND version=3", (str(source),)
        )
    connection.close()


def _weights(registry: RealRegistry) -> Path:
    with sqlite3.connect(registry.database) as connection:
        query = "SELECT storage_location FROM model_versions WHERE name='wine' AND version=3"
        (location,) = connection.execute(query).fetchone()
    connection.close()
    return Path(location) / "data"
