"""The models that everyone serves, trained once and kept."""

import hashlib
import subprocess
from pathlib import Path

from bench.peers.environments import Environments, requirements
from bench.peers.peer import PROGRAMS

_RECIPE = PROGRAMS / "train.py"


def key() -> str:
    """The name of the directory that holds them: another one when the recipe or its packages change."""
    recipe = f"{_RECIPE.read_text()}\n{requirements('model')}"
    return f"models-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def train(environments: Environments, folder: Path) -> None:
    """Train them into `folder`, unless they are there."""
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(environments.python("model")), str(_RECIPE), str(folder)]
        subprocess.run(command, check=True, timeout=300, cwd=folder)
        (folder / "complete").touch()
