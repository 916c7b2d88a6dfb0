"""The modules that a template imports: those on record for its environment, or else those of a model's flavor."""

import contextlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import msgspec

from tidegate.bounded_text import text_of
from tidegate.core.errors import BuildFailed

_LOADER = re.compile(r"^[ \t]*loader_module:[ \t]*([\w.]+)[ \t\r]*$", re.MULTILINE)
_ALWAYS = ("numpy", "pandas", "yaml", "mlflow.pyfunc")
_OF_FLAVOR = {
    "mlflow.sklearn": ("sklearn", "mlflow.sklearn"),
    "mlflow.xgboost": ("xgboost", "mlflow.xgboost"),
    "mlflow.lightgbm": ("lightgbm", "mlflow.lightgbm"),
    "mlflow.onnx": ("onnx", "mlflow.onnx"),  # its runtime starts threads
    "mlflow.catboost": ("catboost", "mlflow.catboost"),
    "mlflow.statsmodels": ("statsmodels.api", "mlflow.statsmodels"),
    "mlflow.pytorch": ("torch", "mlflow.pytorch"),
    "mlflow.pyfunc.model": ("cloudpickle", "mlflow.pyfunc.model"),
}


@dataclass(frozen=True, slots=True)
class Imports:
    """Modules in order, and those that are left out because they start a thread or keep a file open.

    `recorded_at` is when the record was written, unix nanoseconds; 0 without a record.
    """

    names: tuple[str, ...]
    left_out: tuple[str, ...] = field(default=())
    recorded_at: int = 0

    def without(self, module: str) -> Self:
        """These imports without that module."""
        return replace(self, left_out=(*self.left_out, module))


def imports_of(record: Path, model_dir: str) -> Imports:
    """The imports for an environment's template; `model_dir` is one of its models. Blocks."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        at = record.stat().st_mtime_ns
        return Imports(msgspec.json.decode(record.read_bytes(), type=tuple[str, ...]), recorded_at=at)
    return Imports((*_ALWAYS, *_OF_FLAVOR.get(_loader(model_dir), ())))


def recorded_at(record: Path) -> int:
    """When the record was written, unix nanoseconds; 0 without a record."""
    try:
        return record.stat().st_mtime_ns
    except OSError:
        return 0


def _loader(model_dir: str) -> str:
    try:
        found = _LOADER.search(text_of(Path(model_dir) / "MLmodel", errors="replace"))
    except (OSError, BuildFailed):
        return ""
    return found[1] if found else ""
