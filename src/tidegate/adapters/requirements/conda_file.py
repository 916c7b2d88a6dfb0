"""Translates a model's conda.yaml into requirements for a Python package index.

Match specifications: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
"""

import re
from dataclasses import dataclass
from typing import Any

from packaging.utils import canonicalize_name

from tidegate.core.errors import BuildFailed

# Conda packages that the Python package index has not under this name → their name there, empty when there is none.
NOT_ON_THE_INDEX = {
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "pytorch-cuda": "",
    "cudatoolkit": "",
    "cudnn": "",
    "opencv": "opencv-python-headless",
    "py-opencv": "opencv-python-headless",
    "libopencv": "",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "tensorflow-base": "tensorflow",
    "py-xgboost": "xgboost",
    "pytables": "tables",
    "python-graphviz": "graphviz",
    "graphviz": "",
    "libgcc": "",
    "libgcc-ng": "",
    "libstdcxx-ng": "",
    "libgomp": "",
    "openssl": "",
    "openjdk": "",
    "java-jdk": "",
    "nodejs": "",
    "r-base": "",
    "blas": "",
    "gcc": "",
    "compilers": "",
    "git": "",
}

_LONGEST_SPEC = 500  # characters
_BUILD_TOOLS = {"pip", "setuptools", "wheel"}
_SPEC = re.compile(r"(?:[^\s:]+::)?(?P<name>[A-Za-z0-9._-]+)\s*(?P<version>[^\[]*)")


@dataclass(frozen=True, slots=True)
class CondaFile:
    """What a conda.yaml asks for.

    `python` is a version specifier, empty when none is given; `packages` and `build_tools` are pip requirements that
    stand for conda packages; `pip` is the list that conda hands to pip, None when there is none.
    """

    python: str = ""
    packages: tuple[str, ...] = ()
    build_tools: tuple[str, ...] = ()
    pip: tuple[str, ...] | None = None


def parse_conda(content: object) -> CondaFile:
    """Translate a parsed conda.yaml. Raises BuildFailed with the list of what no package index has."""
    dependencies: Any = content.get("dependencies") if isinstance(content, dict) else None
    if not isinstance(dependencies, list):
        raise BuildFailed("The model's conda.yaml has no list of dependencies. Log the model again.")
    pip = [line for entry in dependencies if isinstance(entry, dict) for line in texts(entry.get("pip"))]
    has_pip = any(isinstance(entry, dict) and "pip" in entry for entry in dependencies)
    specs = [_translate(entry) for entry in dependencies if isinstance(entry, str)]
    packages = [(name, version) for name, version in specs if name != "python" and name not in _BUILD_TOOLS]
    refuse_conda_only([name for name, _ in packages if name in NOT_ON_THE_INDEX])
    return CondaFile(
        next((version for name, version in specs if name == "python"), ""),
        tuple(name + version for name, version in packages),
        tuple(name + version for name, version in specs if name in _BUILD_TOOLS),
        tuple(pip) if has_pip else None,
    )


def texts(value: Any) -> list[str]:
    """The lines of a YAML value, which is empty, one text or a list of texts. Raises BuildFailed for anything else."""
    lines = [value] if isinstance(value, str) else value or []
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        # Also for its length: lists in lists that YAML repeats by aliases would be written out in full.
        raise BuildFailed("The model's requirements are not a list of lines. Log the model again.")
    return lines


def refuse_conda_only(names: list[str]) -> None:
    """Raise BuildFailed with these conda packages, unless there are none."""
    if names:
        known = [f"{name} (pip: {NOT_ON_THE_INDEX[name]})" if NOT_ON_THE_INDEX.get(name) else name for name in names]
        raise BuildFailed(
            f"The model's conda.yaml asks for packages that the Python package index does not have: "
            f"{', '.join(known)}. Log the model with pip requirements instead of them."
        )


def _translate(spec: str) -> tuple[str, str]:
    """(canonical name, version specifier) of a conda match specification."""
    parts = _SPEC.fullmatch(spec.strip()) if len(spec) <= _LONGEST_SPEC else None
    if parts is None or "|" in spec:
        raise BuildFailed(
            f"'{spec[:_LONGEST_SPEC]}' in the model's conda.yaml cannot be turned into a pip requirement. "
            "Pin one version."
        )
    version = parts["version"].strip()
    if re.match(r"[\d*]", version):  # the form with spaces: `numpy 1.26.4 py310_0`
        version = "=" + version.replace(" ", "=")
    return canonicalize_name(parts["name"]), ",".join(filter(None, map(_clause, version.replace(" ", "").split(","))))


def _clause(clause: str) -> str:
    """One clause of a conda version as a pip specifier. A single `=` is a prefix match; a build string is dropped."""
    fuzzy = re.fullmatch(r"=([^=<>!~]+)(?:=.*)?", clause)
    if fuzzy is None:
        exact = re.fullmatch(r"(==[^=]+)=.*", clause)
        return exact[1] if exact else clause
    version = fuzzy[1].removesuffix(".*").removesuffix("*").rstrip(".")
    if not version:
        return ""
    prefix = fuzzy[1].endswith("*") or version.count(".") < 2
    return f"=={version}.*" if prefix else f"=={version}"
