"""Whether a model is made of estimators whose library predicts row by row, with nothing of its owner's in them.

scikit-learn checks that of its estimators (`check_methods_subset_invariance` in `sklearn.utils.estimator_checks`);
XGBoost and LightGBM walk their trees for each row. Such a model may be tried with rows that are made up. What any other
code does with rows that nobody has thought of, only real requests can tell.
"""

import sys
import types
from typing import Any, Dict, List, Set

_FLAVORS = frozenset({"mlflow.sklearn", "mlflow.lightgbm", "mlflow.xgboost"})
_LIBRARIES = frozenset({"sklearn", "xgboost", "lightgbm"})
# Whose values hold data, and no code of the model's owner.
_DATA = frozenset({"builtins", "numpy", "scipy", "pandas", "datetime", "ctypes", "_ctypes"})
_PLAIN = (type(None), bool, int, float, complex, str, bytes, range, slice)
# Where MLflow's wrappers keep the estimator.
_WRAPPED = ("sklearn_model", "xgb_model", "lgb_model")
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
# Whose answer for a row depends on others after all: their factorization stops by a sum over all rows, distances that
# tie are decided by last digits that differ with the number of rows, values are drawn at random.
_NOT_ROW_WISE = frozenset({"NMF", "MiniBatchNMF", "LatentDirichletAllocation", "KNNImputer", "IterativeImputer"})
# A forest has some ten thousand.
_MOST_VALUES = 500_000


def is_row_wise(pyfunc: Any) -> bool:
    """Whether a loaded pyfunc model is such an estimator, in all its parts. In doubt it is not."""
    if getattr(pyfunc, "loader_module", None) not in _FLAVORS:
        return False
    try:
        return _Parts().unmodified(_estimator(getattr(pyfunc, "_model_impl", None)))
    except Exception:  # an attribute that raises when it is read
        return False


def exception(pyfunc: Any) -> str:
    """The class of an estimator in a model whose answer for a row depends on others after all; empty without one."""
    if getattr(pyfunc, "loader_module", None) not in _FLAVORS:
        return ""
    parts = _Parts()
    try:
        parts.unmodified(_estimator(getattr(pyfunc, "_model_impl", None)))
    except Exception:  # an attribute that raises when it is read
        return ""
    return parts.exception


def _estimator(wrapper: Any) -> Any:
    for name in _WRAPPED:
        if name in getattr(wrapper, "__dict__", {}):
            return vars(wrapper)[name]
    return wrapper


class _Parts:
    """A walk over all that an object holds."""

    def __init__(self) -> None:
        self._seen: Set[int] = set()
        self._kinds: Dict[type, bool] = {}
        self.exception = ""

    def unmodified(self, model: Any) -> bool:
        """Whether all of it is data, or an instance of an unmodified class of the libraries."""
        if _library(type(model)) not in _LIBRARIES:
            return False
        left: List[Any] = [model]
        while left:
            value = left.pop()
            if isinstance(value, _PLAIN) and type(value) in _PLAIN:
                continue
            if id(value) in self._seen:
                continue
            self._seen.add(id(value))
            if len(self._seen) > _MOST_VALUES or not self._known(value):
                return False
            left += _held(value)
        return True

    def _known(self, value: Any) -> bool:
        if isinstance(value, type):
            return _library(value) in _LIBRARIES | _DATA
        if isinstance(value, _FUNCTIONS):
            return str(getattr(value, "__module__", "")).partition(".")[0] in _LIBRARIES
        kind = type(value)
        if kind not in self._kinds:
            self._kinds[kind] = _is_unmodified(kind)
        if kind.__name__ in _NOT_ROW_WISE and self._kinds[kind]:
            self.exception = kind.__name__
            return False
        # One that calls a function which it was given; numpy's may be any: a sum, a sort.
        return self._kinds[kind] and not (kind.__name__ == "FunctionTransformer" and value.func is not None)


def _library(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]


def _is_unmodified(kind: type) -> bool:
    """Whether a class is its library's own, and none of its functions was put there by others."""
    if _library(kind) in _DATA or kind.__module__ == "collections":
        return kind.__name__ != "ufunc"
    if _library(kind) not in _LIBRARIES:
        return False
    named: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        named = getattr(named, name, None)
    if named is not kind:
        return False
    mine = [base for base in kind.__mro__ if _library(base) in _LIBRARIES]
    functions = [each for base in mine for each in vars(base).values() if isinstance(each, types.FunctionType)]
    return all(str(function.__module__).partition(".")[0] in _LIBRARIES | _DATA for function in functions)


def _held(value: Any) -> List[Any]:
    """The values inside one."""
    found: List[Any] = []
    if isinstance(value, dict):
        found += [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        found += value
    elif getattr(getattr(value, "dtype", None), "hasobject", False) and hasattr(value, "ravel"):
        found += value.ravel().tolist()
    if _library(type(value)) in _LIBRARIES:
        found += getattr(value, "__dict__", {}).values()
    return found
