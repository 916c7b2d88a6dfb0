"""How long the sample model's environment takes: nothing cached, another lock of cached packages, the same lock."""

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

from tests.fakes.store import FakeStore

from bench.sample_platform import sample_platform
from tidegate.adapters.environments.uv_environments import UvEnvironments
from tidegate.data_directory import DataDirectory
from tidegate.settings import EnvironmentSettings


async def build(data: DataDirectory, cache: Path, model_dir: Path, store: FakeStore) -> float:
    """Seconds to the model's environment."""
    builder = UvEnvironments(data, EnvironmentSettings(cache_dir=str(cache)), store, os.environ)
    started = time.monotonic()
    await builder.build(model_dir, lambda _: None)
    return time.monotonic() - started


async def measure(model_dir: Path, folder: Path) -> None:
    """Print the figures."""
    data, store, cache = DataDirectory(folder / "data"), FakeStore(), folder / "cache"
    data.create()
    cold = await build(data, cache, model_dir, store)
    same = await build(data, cache, model_dir, store)
    changed = folder / "changed"
    shutil.copytree(model_dir, changed)
    with (changed / "requirements.txt").open("a") as requirements:
        requirements.write("\nsix\n")
    new = await build(data, cache, changed, store)
    print(f"FIGURE build, nothing cached: {cold:.1f} s")
    print(f"FIGURE build, one requirement more, packages cached: {new:.1f} s")
    print(f"FIGURE build, same lock: {same:.3f} s")


def main() -> None:
    """Measure with the model of `tidegate up --sample`."""
    with sample_platform() as sample, tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        asyncio.run(measure(Path(sample.model_dir), Path(folder)))


if __name__ == "__main__":
    main()
