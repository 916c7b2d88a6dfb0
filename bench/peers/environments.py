"""An environment for each peer, made by uv and kept for the next run."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

from tidegate.adapters.environments.interpreters import Interpreters, choose
from tidegate.adapters.environments.uv import Uv

REQUIREMENTS = Path(__file__).with_name("requirements")
_BUILD_SECONDS = 900


class NotBuilt(Exception):
    """An environment could not be made; says why."""


class Environments:
    """Environments in `folder`, named by what is in them, so that a change makes a new one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def python(self, name: str, version: str = "") -> Path:
        """The interpreter of the environment with `requirements/name.txt`, made if need be. Raises NotBuilt."""
        if not name:
            return Path(sys.executable)
        base = interpreter(version)
        key = hashlib.sha256(f"{base}\n{requirements(name)}".encode()).hexdigest()[:12]
        environment = self._folder / f"{name}-{key}"
        if not (environment / "complete").exists():
            shutil.rmtree(environment, ignore_errors=True)
            _uv("venv", "--python", str(base), str(environment))
            python, file = str(environment / "bin" / "python"), str(REQUIREMENTS / f"{name}.txt")
            _uv("pip", "install", "--compile-bytecode", "--python", python, "-r", file)
            (environment / "complete").touch()
        return environment / "bin" / "python"


def requirements(name: str) -> str:
    """The text of a requirements file, with those that it includes."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    return "\n".join(requirements(line[3:].removesuffix(".txt")) if line.startswith("-r ") else line for line in lines)


def interpreter(version: str) -> Path:
    """An interpreter of this machine: Tidegate's own, or one of that minor version. Raises NotBuilt."""
    if not version:
        return Path(sys.executable).resolve()
    finder = Interpreters(Uv(os.environ), Path("/nonexistent"), (), os.environ)
    found = choose(version, asyncio.run(finder.found()))
    if found is None:
        raise NotBuilt(f"Python {version} is not on this machine; `uv python install {version}` fetches it")
    return Path(found.path)


def versions(python: Path) -> list[str]:
    """What is installed beside this interpreter: `name==version`, sorted."""
    command = [find_uv_bin(), "pip", "freeze", "--python", str(python)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [find_uv_bin(), *arguments, "--quiet"], capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
    )
    if done.returncode:
        raise NotBuilt(" ".join(done.stderr.split())[:500])
