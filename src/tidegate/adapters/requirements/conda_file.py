"""Translates a model's conda.yaml into requirements for a Python package index.

Match specifications: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
"""

import re
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from tidegate.adapters.requirements.control_characters import has_control
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
    specs = list(map(_parts, (entry for entry in dependencies if isinstance(entry, str))))
    refuse_conda_only([each.name for each in specs if each.name in NOT_ON_THE_INDEX])
    translated = [(each.name, each.specifier()) for each in specs]
    packages = [(name, version) for name, version in translated if name != "python" and name not in _BUILD_TOOLS]
    return CondaFile(
        next((version for name, version in translated if name == "python"), ""),
        tuple(name + version for name, version in packages),
        tuple(name + version for name, version in translated if name in _BUILD_TOOLS),
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


@dataclass(frozen=True, slots=True)
class _Spec:
    """A conda match specification: its text, the canonical name of its package, and the version as conda has it."""

    text: str
    name: str
    version: str

    def specifier(self) -> str:
        """The version specifier for pip, which is nothing else: no place of a file, no option. Raises BuildFailed."""
        version = self.version
        if re.match(r"[\d*]", version):  # the form with spaces: `numpy 1.26.4 py310_0`
            version = "=" + version.replace(" ", "=")
        clauses = filter(None, map(_clause, version.replace(" ", "").split(",")))
        try:
            specifiers = [(clause, SpecifierSet(clause)) for clause in clauses]
        except InvalidSpecifier:
            raise _beyond_pip(self.text) from None
        if any(each.operator == "===" for _, specifier in specifiers for each in specifier):  # any text may follow it
            raise _beyond_pip(self.text)
        return ",".join(clause for clause, _ in specifiers)


def _parts(text: str) -> _Spec:
    """Raises BuildFailed where the text is no match specification."""
    parts = (
        _SPEC.fullmatch(text.strip()) if len(text) <= _LONGEST_SPEC and not has_control(text.rstrip("\r\n")) else None
    )
    if parts is None or "|" in text:
        raise _beyond_pip(text)
    return _Spec(text, canonicalize_name(parts["name"]), parts["version"].strip())


def _beyond_pip(text: str) -> BuildFailed:
    return BuildFailed(
        f"{text[:_LONGEST_SPEC]!r} in the model's conda.yaml cannot be turned into a pip requirement. Pin one version."
    )


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
