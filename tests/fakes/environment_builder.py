"""An environment builder that builds nothing: every model runs in the interpreter of the tests."""

import asyncio
import hashlib
import sys
from contextlib import nullcontext
from pathlib import Path

import tidegate_worker
from tidegate.core.endpoint.revision import Environment, EnvironmentDigest
from tidegate.core.errors import BuildFailed
from tidegate.ports import EnvironmentBuilder, Log, Turn


class FakeEnvironmentBuilder:
    """Answers at once, or when `gate` is set where one is given. `missing` are names of packages that no index has.

    Requirements in `there` were built for before.
    """

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.gate = gate
        self.missing: set[str] = set()
        self.failure: BuildFailed | None = None
        self.built: list[Path] = []
        self.there: set[str] = set()

    async def build(self, model_dir: Path, log: Log, turn: Turn = nullcontext) -> Environment:
        text = _requirements(model_dir)
        if text not in self.there:
            async with turn():
                await self.make(model_dir, text, log)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        overlay = Path(tidegate_worker.__file__).parent.parent
        return Environment(EnvironmentDigest(digest), sys.executable, str(overlay))

    async def make(self, model_dir: Path, requirements: str, log: Log) -> None:
        """What takes long."""
        log(f"Building for {model_dir.name}")
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        for line in requirements.splitlines():
            if line.split("==")[0] in self.missing:
                raise BuildFailed(f"There is no package '{line}'. Change the model's requirements.")
        self.built.append(model_dir)


def _requirements(model_dir: Path) -> str:
    if not (model_dir / "MLmodel").is_file():
        raise BuildFailed("The model has no file 'MLmodel'. Log it again with MLflow.")
    file = model_dir / "requirements.txt"
    return file.read_text() if file.is_file() else ""


_: type[EnvironmentBuilder] = FakeEnvironmentBuilder
