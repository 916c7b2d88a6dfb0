"""Reads a model's requirements from the files that MLflow logged with it.

Files: https://mlflow.org/docs/latest/ml/model/dependencies/. Models of MLflow 1.x have conda.yaml only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from tidegate.adapters.requirements.conda_file import CondaFile, parse_conda, texts
from tidegate.adapters.requirements.pip_requirements import PipRequirements, name_of, parse_requirements
from tidegate.bounded_text import MAX_TEXT_BYTES
from tidegate.core.errors import BuildFailed
from tidegate.model_files import mapping_of

# Databricks' own look-up client is on no public index; Tidegate's worker does its work.
_STRIPPED = "databricks-feature-lookup"
_MLFLOW = {"mlflow", "mlflow-skinny"}
_LONGEST_VERSION = 100  # characters
_LONGEST_ENVIRONMENT = 256 * 2**10  # bytes of conda.yaml and python_env.yaml each


@dataclass(frozen=True, slots=True)
class ModelRequirements:
    """The requirements of a model.

    `python` is a version or specifier, empty when the model names none. `recorded` is the version that the model was
    logged under, empty when no file names it. `setuptools` is the preferred pin of setuptools, which the other
    requirements may override; None when the model does not ask for it. `conda` are the names that came from conda.
    """

    python: str
    recorded: str
    pip: PipRequirements
    setuptools: str | None
    conda: tuple[str, ...]


def read_requirements(model_dir: Path) -> ModelRequirements:
    """Read the model in `model_dir`, an absolute path without links. Raises BuildFailed saying what to change."""
    model = _mapping(model_dir, "MLmodel", MAX_TEXT_BYTES)
    flavors: Any = model.get("flavors")
    flavor = flavors.get("python_function") if isinstance(flavors, dict) else None
    if not isinstance(flavor, dict):
        raise BuildFailed("The model has no python_function flavor, so it cannot be served. Log it with one.")
    python_env = _optional(model_dir, _env_file(flavor, "virtualenv", "python_env.yaml"))
    conda_env = _optional(model_dir, _env_file(flavor, "conda", "conda.yaml"))
    conda = parse_conda(conda_env) if conda_env is not None else CondaFile()
    pip = parse_requirements(_lines(model_dir, python_env, conda), model_dir)
    build_tools = texts((python_env or {}).get("build_dependencies")) or conda.build_tools
    from_conda = _add_conda(pip, conda, model_dir)
    _strip(pip)
    _add_mlflow(pip, model)
    recorded = _text(flavor.get("python_version"))
    python = _text((python_env or {}).get("python")) or conda.python or recorded
    return ModelRequirements(python, recorded, pip, _setuptools(pip, build_tools), from_conda)


def _env_file(flavor: dict[str, Any], kind: str, default: str) -> str:
    env = flavor.get("env")
    if isinstance(env, dict):  # since MLflow 2.0: {conda: conda.yaml, virtualenv: python_env.yaml}
        return _text(env.get(kind)) or default
    return _text(env) or default if kind == "conda" else default


def _text(value: object) -> str:
    """The value if it is a text, else empty. By YAML's aliases, a list's text may be longer than the memory."""
    return value if isinstance(value, str) else ""


def _lines(model_dir: Path, python_env: dict[str, Any] | None, conda: CondaFile) -> list[str]:
    """The lines for pip of python_env.yaml, else of requirements.txt, else of conda.yaml."""
    if python_env is not None:
        return texts(python_env.get("dependencies"))
    if (model_dir / "requirements.txt").is_file():
        return ["-r requirements.txt"]
    return list(conda.pip or ())


def _add_conda(pip: PipRequirements, conda: CondaFile, model_dir: Path) -> tuple[str, ...]:
    """Add the conda packages that the pip lines do not name; the model needs them when it is loaded or called."""
    names = pip.names
    added = [line for line in conda.packages if name_of(line) not in names]
    if added:
        pip.requirements += parse_requirements(added, model_dir).requirements
        pip.notes.append(f"Conda packages taken from the Python package index: {', '.join(added)}.")
    return tuple(name_of(line) for line in added)


def _strip(pip: PipRequirements) -> None:
    for line in [line for line in pip.requirements if name_of(line) == _STRIPPED]:
        pip.requirements.remove(line)
        pip.notes.append(f"{line} is left out: feature look-ups are done by Tidegate itself.")


def _add_mlflow(pip: PipRequirements, model: dict[str, Any]) -> None:
    """The worker loads models with mlflow; the version that logged the model reads it best."""
    if pip.names & _MLFLOW:
        return
    try:
        line = f"mlflow=={Version(_text(model.get('mlflow_version'))[:_LONGEST_VERSION]).base_version}"
    except InvalidVersion:
        line = "mlflow"
    pip.requirements.append(line)
    pip.notes.append(f"The model's requirements do not name mlflow, which loads it: {line} is added.")


def _setuptools(pip: PipRequirements, build_tools: Sequence[str]) -> str | None:
    """The setuptools of the model's environment. Old packages import its pkg_resources and do not require it."""
    if "setuptools" in pip.names:
        return None
    for line in build_tools:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.name == "setuptools":
            pins = [pin for pin in requirement.specifier if pin.operator == "==" and "*" not in pin.version]
            return f"setuptools=={pins[0].version}" if pins else "setuptools"
    return None


def _optional(model_dir: Path, name: str) -> dict[str, Any] | None:
    return _mapping(model_dir, name, _LONGEST_ENVIRONMENT) if (model_dir / name).is_file() else None


def _mapping(model_dir: Path, name: str, most: int) -> dict[str, Any]:
    path = (model_dir / name).resolve()
    if not path.is_relative_to(model_dir) or not path.is_file():
        raise BuildFailed(f"The model has no file '{name}'. Log it again with MLflow.")
    return mapping_of(path, most)
