"""What every EnvironmentBuilder promises."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.package_index import Lines, PackageIndex, make_model, new_data
from tests.fakes.environment_builder import FakeEnvironmentBuilder
from tests.fakes.store import FakeStore
from tidegate.adapters.environments.uv_environments import UvEnvironments
from tidegate.core.errors import BuildFailed
from tidegate.ports import EnvironmentBuilder
from tidegate.settings import EnvironmentSettings
from tidegate_worker.ipc import wire


@pytest.fixture(params=["uv", "fake"])
def builder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EnvironmentBuilder]:
    if request.param == "fake":
        fake = FakeEnvironmentBuilder()
        fake.missing = {"absent"}
        yield fake
        return
    index = PackageIndex(tmp_path / "index")
    for name, version in (("mlflow", "3.1.0"), ("alpha", "1.0"), ("alpha", "2.0"), ("setuptools", "65.5.0")):
        index.add(name, version)
    with index.serving():
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        settings = EnvironmentSettings(index_url=index.url)
        yield UvEnvironments(new_data(tmp_path / "data"), settings, FakeStore(), environ)


async def test_the_environment_runs_python_and_has_the_worker(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    lines = Lines()
    environment = await builder.build(make_model(tmp_path / "m", "mlflow\nalpha==1.0\n"), lines.log)
    assert re.fullmatch("[0-9a-f]{16}", environment.digest)
    code = "import sys; sys.path.append(sys.argv[1]); import tidegate_worker.ipc.wire as w; print(w.PROTOCOL)"
    run = await asyncio.to_thread(
        subprocess.run, [environment.python, "-I", "-c", code, environment.overlay], capture_output=True, check=True
    )
    assert run.stdout.strip() == str(wire.PROTOCOL).encode()
    assert lines


async def test_the_same_requirements_are_one_environment(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    first = await builder.build(make_model(tmp_path / "1", "mlflow\nalpha==1.0\n"), Lines().log)
    again = await builder.build(tmp_path / "1", Lines().log)
    other = await builder.build(make_model(tmp_path / "2", "mlflow\nalpha==1.0\n"), Lines().log)
    assert first == again == other


async def test_other_requirements_are_another_environment(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    first = await builder.build(make_model(tmp_path / "1", "mlflow\nalpha==1.0\n"), Lines().log)
    second = await builder.build(make_model(tmp_path / "2", "mlflow\nalpha==2.0\n"), Lines().log)
    assert first.digest != second.digest


async def test_the_same_model_may_be_built_at_once(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", "mlflow\nalpha==1.0\n")
    environments = await asyncio.gather(*(builder.build(model, Lines().log) for _ in range(4)))
    assert len(set(environments)) == 1


async def test_a_package_that_does_not_exist_is_named(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    lines = Lines()
    with pytest.raises(BuildFailed, match=r"'absent.*Change the model's requirements") as failure:
        await builder.build(make_model(tmp_path / "m", "mlflow\nabsent\n"), lines.log)
    assert "\n" not in failure.value.message
    assert lines


async def test_a_folder_without_a_model_is_refused(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="MLmodel"):
        await builder.build(tmp_path, Lines().log)


async def test_a_cancelled_build_can_be_asked_for_again(builder: EnvironmentBuilder, tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", "mlflow\nalpha==1.0\n")
    begun = asyncio.Event()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(builder.build(model, lambda _: begun.set()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await builder.build(model, Lines().log)).digest
