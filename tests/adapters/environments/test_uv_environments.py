"""Environments built by uv, from small packages on a loopback index."""

import asyncio
import atexit
import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from tests.adapters.package_index import Lines, PackageIndex, make_model, make_wheel, new_data
from tests.fakes.store import FakeStore
from tidegate.adapters.environments.interpreters import Interpreter
from tidegate.adapters.environments.marker import MARKER
from tidegate.adapters.environments.overlays import Overlays
from tidegate.adapters.environments.uv_environments import UvEnvironments
from tidegate.core.endpoint.revision import Environment
from tidegate.core.errors import BuildFailed
from tidegate.ports import Log
from tidegate.settings import EnvironmentSettings

MINOR = ".".join(platform.python_version_tuple()[:2])


class OneOverlay(Overlays):
    """Gives all environments of an interpreter one overlay, as no model changes it. Its own tests are elsewhere."""

    _made: ClassVar[dict[str, Path]] = {}

    async def obtain(self, interpreter: Interpreter, log: Log) -> Path:
        if interpreter.path not in self._made:
            self._made[interpreter.path] = await super().obtain(interpreter, log)
        return self._made[interpreter.path]


@functools.cache
def overlays_folder() -> Path:
    """Where the overlays of all tests here are."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return folder


class House:
    """A builder, its data directory and its index."""

    def __init__(self, root: Path, index: PackageIndex) -> None:
        self.root, self.index, self.store = root, index, FakeStore()
        self.environ = {"PATH": "/usr/bin:/bin", "HOME": str(root), "UV_HTTP_RETRIES": "0"}
        self.data = new_data(root / "data")

    def builder(self, url: str | None = None) -> UvEnvironments:
        settings = EnvironmentSettings(index_url=self.index.url if url is None else url, allow_python_downloads=False)
        builder = UvEnvironments(self.data, settings, self.store, self.environ)
        builder._overlays = OneOverlay(builder._uv, overlays_folder())
        return builder

    def model(self, requirements: str, name: str = "model", **more: object) -> Path:
        return make_model(self.root / name, f"mlflow\n{requirements}\n", **more)  # type: ignore[arg-type]

    async def build(self, requirements: str, name: str = "model") -> tuple[Environment, Lines]:
        lines = Lines()
        return await self.builder().build(self.model(requirements, name), lines.log), lines

    async def failure(self, model: Path) -> tuple[str, Lines]:
        lines = Lines()
        with pytest.raises(BuildFailed) as failure:
            await self.builder().build(model, lines.log)
        return failure.value.message, lines

    @property
    def environments(self) -> list[str]:
        return [path.name for path in self.data.envs.iterdir() if not path.name.startswith(".")]


@pytest.fixture
def index(tmp_path: Path) -> PackageIndex:
    index = PackageIndex(tmp_path / "index")
    for name, version in (("mlflow", "3.1.0"), ("setuptools", "65.5.0"), ("setuptools", "80.0.0"), ("alpha", "1.0")):
        index.add(name, version)
    index.add("alpha", "2.0", ["beta"])
    index.add("beta", "1.0")
    return index


@pytest.fixture
def house(tmp_path: Path, index: PackageIndex) -> Iterator[House]:
    with index.serving():
        yield House(tmp_path, index)


def run(environment: Environment, code: str) -> str:
    argv = [environment.python, "-I", "-c", code]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def version(environment: Environment, module: str) -> str:
    return run(environment, f"import {module}; print({module}.VERSION)")


async def test_it_is_isolated_compiled_and_logged(house: House) -> None:
    environment, lines = await house.build("alpha==2.0")
    assert version(environment, "beta") == "1.0"
    assert run(environment, "import sys; print(sys.prefix)") == str(house.data.envs / environment.digest)
    site = house.data.envs / environment.digest / "lib" / f"python{MINOR}" / "site-packages"
    assert list((site / "__pycache__").glob("alpha.*.pyc"))
    assert " + alpha==2.0" in lines
    assert re.search(r"ready after \d+\.\d s", lines[-1])


async def test_what_takes_long_waits_for_its_turn_and_what_is_there_does_not(house: House) -> None:
    turns: list[str] = []

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        turns.append("begun")
        yield
        turns.append("ended")

    first = await house.builder().build(house.model("alpha==1.0", "1"), Lines().log, turn)
    assert turns == ["begun", "ended"] * 2  # the resolution and the build
    assert await house.builder().build(house.model("alpha==1.0", "2"), Lines().log, turn) == first
    assert len(turns) == 4


async def test_packages_are_linked_from_the_cache_not_copied(house: House) -> None:
    environment, _ = await house.build("alpha==1.0")
    (module,) = (house.data.envs / environment.digest).rglob("alpha.py")
    assert module.stat().st_nlink > 1


async def test_unchanged_requirements_are_never_resolved_again(house: House) -> None:
    first, lines = await house.build("alpha", "1")
    assert "Resolving" in lines.text
    house.index.add("alpha", "3.0")
    asked = len(house.index.requests)
    again, lines = await house.build("alpha", "2")
    assert again == first
    assert "Resolving" not in lines.text
    assert "is there already" in lines.text
    assert [path for path in house.index.requests[asked:] if "alpha" in path] == []


async def test_two_requirements_with_one_lock_are_one_environment(house: House) -> None:
    first, _ = await house.build("alpha>=2", "1")
    second, lines = await house.build("alpha==2.0", "2")
    assert first == second
    assert "is there already" in lines.text


async def test_offline_what_is_cached_still_builds(tmp_path: Path, index: PackageIndex) -> None:
    house = House(tmp_path, index)
    with index.serving():
        first, _ = await house.build("alpha==2.0")
    shutil.rmtree(house.data.envs / first.digest)
    again, lines = await house.build("alpha==2.0")
    assert again.digest == first.digest
    assert version(again, "alpha") == "2.0"
    assert "Resolving" not in lines.text


async def test_offline_what_is_cached_is_resolved_too(tmp_path: Path, index: PackageIndex) -> None:
    house = House(tmp_path, index)
    with index.serving():
        await house.build("alpha==2.0", "1")
    environment, lines = await house.build("alpha==2.0\nbeta", "2")
    assert version(environment, "beta") == "1.0"
    assert "trying with what is in the cache" in lines.text


async def test_offline_what_is_not_cached_says_so(house: House) -> None:
    with pytest.raises(BuildFailed, match=r"127\.0\.0\.1:9 cannot be reached, and what is needed is not in the cache"):
        await house.builder("http://127.0.0.1:9/").build(house.model("alpha"), Lines().log)


async def test_a_remembered_file_that_is_gone_is_resolved_again(house: House) -> None:
    first, _ = await house.build("alpha")
    shutil.rmtree(house.data.envs / first.digest)
    shutil.rmtree(house.data.uv_cache)
    (house.index.root / "alpha" / "alpha-2.0-py3-none-any.whl").unlink()
    again, lines = await house.build("alpha")
    assert version(again, "alpha") == "1.0"
    assert "can no longer be installed" in lines.text


async def test_local_wheels_are_installed_and_their_content_is_the_key(house: House) -> None:
    digests = []
    for name, body in (("1", "X = 1"), ("2", "X = 2"), ("3", "X = 1")):
        make_wheel(house.root / name / "code", "own", "1.0", body=body)
        environment, _ = await house.build("code/own-1.0-py3-none-any.whl", name)
        assert run(environment, "import own; print(own.X)") == body[-1]
        digests.append(environment.digest)
    assert digests[0] != digests[1]
    assert digests[0] == digests[2]


@pytest.mark.parametrize("lines", ["./code", "--no-index\n--find-links code\nown"])
async def test_a_link_out_of_the_model_is_not_built(house: House, tmp_path: Path, lines: str) -> None:
    model = house.model(lines)
    (tmp_path / "outside.whl").write_bytes(b"")
    (model / "code").mkdir(exist_ok=True)
    (model / "code" / "own-1.0-py3-none-any.whl").symlink_to(tmp_path / "outside.whl")
    message, _ = await house.failure(model)
    assert message.startswith("'code/own-1.0-py3-none-any.whl' of the model is a link that leads out of the model.")


async def test_a_folder_of_the_model_takes_no_other_by_uvs_own_sources(house: House, tmp_path: Path) -> None:
    model = house.model("./code")
    for place in (tmp_path / "outside", model / "code"):
        place.mkdir(exist_ok=True)
        (place / "pyproject.toml").write_text(f'[project]\nname = "{place.name}"\nversion = "1.0"\n')
    with (model / "code" / "pyproject.toml").open("a") as file:
        sources = f'[tool.uv.sources]\noutside = {{ path = "{tmp_path / "outside"}" }}\n'
        file.write(f'dependencies = ["outside"]\n{sources}')
    message, _ = await house.failure(model)
    assert message == "No package index that was asked has a package 'outside'. Change the model's requirements."


async def test_a_wheelhouse_in_the_model_suffices(house: House) -> None:
    for name in ("own", "mlflow"):
        make_wheel(house.root / "model" / "code", name, "1.0")
    asked = len(house.index.requests)
    environment, _ = await house.build("--no-index\n--find-links code\nown")
    assert version(environment, "own") == "1.0"
    assert [path for path in house.index.requests[asked:] if "own" in path or "mlflow" in path] == []


async def test_the_models_own_index_counts_over_the_servers(house: House) -> None:
    lines = Lines()
    environment = await house.builder("http://127.0.0.1:9/").build(
        house.model(f"--index-url {house.index.url}\nalpha==1.0"), lines.log
    )
    assert version(environment, "alpha") == "1.0"


async def test_the_best_version_of_all_indexes_is_taken_as_pip_does(house: House) -> None:
    other = PackageIndex(house.root / "other")
    other.add("alpha", "0.9")
    with other.serving():
        environment, _ = await house.build(f"--extra-index-url {other.url}\nalpha")
    assert version(environment, "alpha") == "2.0"


async def test_prereleases_constraints_and_included_files(house: House) -> None:
    house.index.add("alpha", "3.0rc1")
    files = {"more.txt": "beta\n", "limits.txt": "beta<1\n"}
    house.index.add("beta", "0.5")
    model = house.model("--pre\nalpha\n-r more.txt\n-c limits.txt", files=files)
    environment = await house.builder().build(model, Lines().log)
    assert (version(environment, "alpha"), version(environment, "beta")) == ("3.0rc1", "0.5")


async def test_the_setuptools_of_the_model_yields_to_its_requirements(house: House) -> None:
    house.index.add("newcomer", "1.0", ["setuptools>=70"])
    conda = {"dependencies": ["setuptools=65.5.0", {"pip": ["mlflow", "alpha==1.0"]}]}
    environment = await house.builder().build(make_model(house.root / "1", conda=conda), Lines().log)
    assert version(environment, "setuptools") == "65.5.0"
    conda = {"dependencies": ["setuptools=65.5.0", {"pip": ["mlflow", "newcomer"]}]}
    environment = await house.builder().build(make_model(house.root / "2", conda=conda), Lines().log)
    assert version(environment, "setuptools") == "80.0.0"


async def test_an_index_without_setuptools_is_enough(house: House) -> None:
    shutil.rmtree(house.index.root / "setuptools")
    conda = {"dependencies": ["setuptools=65.5.0", {"pip": ["mlflow", "alpha==1.0"]}]}
    lines = Lines()
    environment = await house.builder().build(make_model(house.root / "m", conda=conda), lines.log)
    assert version(environment, "alpha") == "1.0"
    assert "no setuptools" in lines.text


async def test_conda_packages_that_no_index_has_are_listed_all(house: House) -> None:
    conda = {"dependencies": [f"python={MINOR}", "libfoo=1.2.3", "alpha=1.0.0", "libbar", {"pip": ["mlflow"]}]}
    house.index.add("alpha", "1.0.0")
    message, lines = await house.failure(make_model(house.root / "m", conda=conda))
    assert "does not have: libfoo, libbar." in message
    assert lines


@pytest.mark.parametrize(
    ("requirements", "sentence"),
    [
        ("alpha==99", "No version of alpha matches ==99. Change the model's requirements."),
        ("nowhere", "has a package 'nowhere'"),
        ("alpha==1.0\nalpha==2.0", "The requirements contradict each other: you require alpha==1.0 and alpha==2.0"),
        ("alpha=1.0", "'alpha=1.0'"),
        ("code/gone.whl", "'code/gone.whl'"),
    ],
)
async def test_a_failure_is_one_sentence_and_leaves_nothing(house: House, requirements: str, sentence: str) -> None:
    message, lines = await house.failure(house.model(requirements))
    assert sentence in message
    assert "\n" not in message
    assert lines
    assert house.environments == []


def sha(path: Path, algorithm: str = "sha256") -> str:
    return f"--hash={algorithm}:{hashlib.new(algorithm, path.read_bytes()).hexdigest()}"


WRONG = f"--hash=sha256:{'0' * 64}"


@pytest.mark.parametrize(
    "requirements",
    [
        f"alpha==1.0 {WRONG}",
        f"alpha==1.0 \\\n    {WRONG} \\\n    {WRONG}",
        f"alpha==1.0 --hash {WRONG[7:]}",
        f"Alpha {WRONG}",
        f"-r more.txt\nalpha==1.0 {WRONG}",
        "-r wrong.txt",
        "alpha==1.0\n-c wrong.txt",
        f"code/alpha-1.0-py3-none-any.whl {WRONG}",
        f"alpha @ {{index}}alpha/alpha-1.0-py3-none-any.whl {WRONG}",
    ],
)
async def test_a_wrong_hash_is_refused(house: House, requirements: str) -> None:
    files = {"wrong.txt": f"alpha==1.0 \\\n  {WRONG}\n", "more.txt": "beta\n"}
    make_wheel(house.root / "model" / "code", "alpha", "1.0")
    message, _ = await house.failure(house.model(requirements.format(index=house.index.url), files=files))
    assert re.match(r"The file of alpha(==[12]\.0)? has another hash than the one that is pinned\. Correct", message)
    assert house.environments == []


async def test_a_right_hash_among_wrong_ones_is_kept_in_the_lock(house: House) -> None:
    wheel = house.index.root / "alpha" / "alpha-1.0-py3-none-any.whl"
    first, _ = await house.build(f"alpha==1.0 {WRONG} \\\n  {sha(wheel)}\nbeta==1.0", "1")
    assert version(first, "alpha") == "1.0"
    assert WRONG in (house.data.envs / first.digest / MARKER).read_text()
    again, lines = await house.build(f"alpha==1.0 {WRONG} {sha(wheel)}\nbeta==1.0", "2")
    assert again == first
    assert "unchanged" in lines.text
    other, _ = await house.build(f"alpha==1.0 {sha(wheel, 'sha512')}", "3")
    assert version(other, "alpha") == "1.0"


async def test_a_hash_of_what_has_none_is_refused(house: House) -> None:
    message, _ = await house.failure(house.model(f"./code/own {WRONG}", files={"code/own/pyproject.toml": PROJECT}))
    assert "pin a hash of own, but a folder or repository has none" in message


async def test_a_package_that_does_not_build_is_named(house: House) -> None:
    files = {"code/own/setup.py": "print('hello'); raise SystemExit('no compiler')"}
    message, lines = await house.failure(house.model("./code/own", files=files))
    assert "failed to build" in message or "does not build" in message
    assert house.environments == []
    assert lines


async def test_a_python_that_is_not_there_is_named(house: House) -> None:
    message, _ = await house.failure(make_model(house.root / "m", "mlflow\n", python="3.99.1"))
    assert message.startswith("The model asks for Python 3.99.1. Found on this machine: ")
    assert platform.python_version() in message


async def test_credentials_are_in_no_log(house: House) -> None:
    url = house.index.url.replace("http://", "http://user:hunter2@")
    lines = Lines()
    await house.builder().build(house.model(f"--extra-index-url {url}\nalpha", "1"), lines.log)
    message, more = await house.failure(house.model(f"--index-url {url}\nnowhere", "2"))
    assert "hunter2" not in lines.text + more.text + message


# A build backend that says that it has begun and waits while it is held.
BACKEND = """
import time
from pathlib import Path

def build_wheel(folder, *_, **__):
    Path({begun!r}).touch()
    while Path({held!r}).exists():
        time.sleep(0.01)
    import zipfile
    with zipfile.ZipFile(folder + "/own-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("own.py", "VERSION = '1.0'")
        archive.writestr("own-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: own\\nVersion: 1.0\\n")
        archive.writestr("own-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("own-1.0.dist-info/RECORD", "")
    return "own-1.0-py3-none-any.whl"
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "own"
version = "1.0"
"""


def slow_model(house: House) -> Path:
    """A model whose package builds until the file `held` goes, and makes the file `begun`."""
    (house.root / "held").touch()
    backend = BACKEND.format(begun=str(house.root / "begun"), held=str(house.root / "held"))
    return house.model("./code/own", files={"code/own/pyproject.toml": PROJECT, "code/own/backend.py": backend})


def begun(house: House) -> None:
    deadline = time.monotonic() + 30
    while not (house.root / "begun").exists():
        assert time.monotonic() < deadline, "the build has not begun"
        time.sleep(0.01)


async def test_cancelling_ends_uv_and_leaves_no_half_environment(house: House) -> None:
    model, others = slow_model(house), psutil.Process().children(recursive=True)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(house.builder().build(model, Lines().log))
        await asyncio.to_thread(begun, house)
        processes = [one for one in psutil.Process().children(recursive=True) if one not in others]
        task.cancel()
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=5)
    assert len(processes) >= 2
    assert not alive
    assert house.environments == []
    (house.root / "held").unlink()
    assert version(await house.builder().build(model, Lines().log), "own") == "1.0"


async def test_builds_at_once_build_once(house: House) -> None:
    model, logs = slow_model(house), [Lines() for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(house.builder().build(model, lines.log)) for lines in logs]
        await asyncio.to_thread(begun, house)
        (house.root / "held").unlink()
    assert len({task.result() for task in tasks}) == 1
    assert sum("Building environment" in lines.text for lines in logs) == 1
    assert sum("Resolving" in lines.text for lines in logs) == 1


BUILDER = """
import asyncio, sys
from pathlib import Path
from tests.adapters.environments.test_uv_environments import House
from tests.adapters.package_index import PackageIndex

root, index = Path(sys.argv[1]), PackageIndex(Path("/nowhere"))
index.url = sys.argv[2]
asyncio.run(House(root, index).builder().build(root / "model", lambda line: None))
"""


async def test_after_a_killed_builder_its_orphan_is_waited_for_and_all_is_built_anew(house: House) -> None:
    model, lines = slow_model(house), Lines()
    argv = [sys.executable, "-c", BUILDER, str(house.root), house.index.url]
    builder = await asyncio.to_thread(subprocess.Popen, argv, cwd=Path(__file__).parents[3])
    await asyncio.to_thread(begun, house)
    builder.kill()
    await asyncio.to_thread(builder.wait)
    (half,) = house.environments
    assert not (house.data.envs / half / MARKER).exists()

    def log(line: str) -> None:
        lines.append(line)
        if "waiting for it" in line:
            (house.root / "held").unlink()

    environment = await house.builder().build(model, log)
    assert environment.digest == half
    assert version(environment, "own") == "1.0"
    assert "waiting for it" in lines.text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tidegate-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_full_disk_is_one_sentence_and_leaves_nothing(house: House, small_disk: Path) -> None:
    house.index.add("fat", "1.0", body=f"X = {os.urandom(2_500_000).hex()!r}")
    house.data = new_data(small_disk / "data")
    message, _ = await house.failure(house.model("fat"))
    assert re.match(rf"The disk is full: there is no room in {small_disk}/\S+\. Free space there", message)
    assert house.environments == []


@pytest.mark.parametrize("minor", ["3.8", "3.9", "3.10", "3.12", "3.13"])
async def test_models_of_other_pythons_get_them(house: House, minor: str) -> None:
    house.environ |= {"PYENV_ROOT": os.environ.get("PYENV_ROOT") or str(Path.home() / ".pyenv"), "PATH": os.defpath}
    lines = Lines()
    try:
        model = make_model(house.root / "m", "mlflow\nalpha==2.0\n", python=f"{minor}.99")
        environment = await house.builder().build(model, lines.log)
    except BuildFailed as failure:
        assert f"Python {minor}.99. Found" in failure.message
        pytest.skip(f"no Python {minor} on this machine")
    assert run(environment, "import sys; print('%d.%d' % sys.version_info[:2])") == minor
    assert version(environment, "beta") == "1.0"
    assert f"(the model asks for {minor}.99)" in lines.text
