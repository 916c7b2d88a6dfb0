"""The search for other Pythons, and imports that must not warn: shared by all tests of the worker."""

import os
import shutil
import warnings
from pathlib import Path

# MLflow warns about its own type hints when it is imported; that is not for a test to fail on.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.pyfunc.scoring_server
    import mlflow.types.responses  # noqa: F401


def interpreter(minor: str) -> Path | None:
    """An installed Python of that minor version: one of pyenv's, else one on PATH that is no shim of pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(root.glob(f"versions/{minor}.*/bin/python{minor}"))
    if installed:
        return installed[-1]
    folders = [folder for folder in os.get_exec_path() if Path(folder) != root / "shims"]
    found = shutil.which(f"python{minor}", path=os.pathsep.join(folders))
    return Path(found) if found else None
