"""How long the sample model's environment takes: nothing cached, packages cached, same lock."""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from tests.fakes.store import FakeStore

from bench.sample_platform import sample_platform
from tidegate.adapters.uv_environments import UvEnvironments
from tidegate.data_directory import DataDirectory
from tidegate.settings import EnvironmentSettings


async def build(root: Path, cache: Path, model_dir: str, store: FakeStore) -> float:
    """Seconds to the environment in a data directory of its own."""
    data = DataDirectory(root)
    data.create()
    builder = UvEnvironments(data, EnvironmentSettings(cache_dir=str(cache)), store, os.environ)
    started = time.monotonic()
    await builder.build(Path(model_dir), lambda _: None)
    return time.monotonic() - started


async def measure(model_dir: str, folder: Path) -> None:
    """Print the figures."""
    store, cache = FakeStore(), folder / "cache"
    cold = await build(folder / "a", cache, model_dir, store)
    warm = await build(folder / "b", cache, model_dir, FakeStore())
    remembered = await build(folder / "c", cache, model_dir, store)
    same = await build(folder / "a", cache, model_dir, store)
    print(f"FIGURE build, nothing cached: {cold:.1f} s")
    print(f"FIGURE build, packages cached: {warm:.1f} s; with the lock remembered too: {remembered:.1f} s")
    print(f"FIGURE build, same lock: {same:.3f} s")


def main() -> None:
    """Measure with the model of `tidegate up --sample`."""
    with sample_platform() as sample, tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        asyncio.run(measure(sample.model_dir, Path(folder)))


if __name__ == "__main__":
    main()
