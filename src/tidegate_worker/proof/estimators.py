"""Whether a model consists of estimators whose library predicts row by row, with no code of the model's owner.

scikit-learn tests this for its estimators (`check_methods_subset_invariance` in `sklearn.utils.estimator_checks`).
XGBoost and LightGBM walk their trees for each row. Made-up rows are enough to prove such a model. Other code may treat
rows in ways that made-up rows do not show, so it needs real requests.
"""

import sys
import types
from typing import Any, Dict, List, Set

_FLAVORS = frozenset({"mlflow.sklearn", "mlflow.lightgbm", "mlflow.xgboost"})
_LIBRARIES = frozenset({"sklearn", "xgboost", "lightgbm"})
# Libraries whose values hold data, and no code of the model's owner.
_DATA_LIBRARIES = frozenset({"builtins", "numpy", "scipy", "pandas", "datetime", "ctypes", "_ctypes"})
_PLAIN_TYPES = (type(None), bool, int, float, complex, str, bytes, range, slice)
# The attributes in which MLflow's wrappers keep the estimator.
_WRAPPER_ATTRIBUTES = ("sklearn_model", "xgb_model", "lgb_model")
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
# Estimators whose answer for a row depends on the other rows: a factorization stops by a sum over all rows, tied
# distances are decided by last digits that differ with the number of rows, or values are drawn at random.
_NOT_ROW_WISE = frozenset({"NMF", "MiniBatchNMF", "LatentDirichletAllocation", "KNNImputer", "IterativeImputer"})
# A forest has about 10,000 values. A model with more than this is not searched to its end.
_MAX_VALUES = 500_000


def is_row_wise(pyfunc: Any) -> bool:
    """Whether a loaded pyfunc model is such an estimator in all its parts. False when in doubt."""
    if getattr(pyfunc, "loader_module", None) not in _FLAVORS:
        return False
    try:
        return _ObjectWalk().is_unmodified(_estimator(getattr(pyfunc, "_model_impl", None)))
    except Exception:  # an attribute that raises when it is read
        return False


def batch_dependent(pyfunc: Any) -> str:
    """The class of an estimator in the model whose answer for a row depends on other rows; empty if there is none."""
    if getattr(pyfunc, "loader_module", None) not in _FLAVORS:
        return ""
    walk = _ObjectWalk()
    try:
        walk.is_unmodified(_estimator(getattr(pyfunc, "_model_impl", None)))
    except Exception:  # an attribute that raises when it is read
        return ""
    return walk.batch_dependent


def _estimator(wrapper: Any) -> Any:
    for name in _WRAPPER_ATTRIBUTES:
        if name in getattr(wrapper, "__dict__", {}):
            return vars(wrapper)[name]
    return wrapper


class _ObjectWalk:
    """A walk over all values that a model holds.

    `batch_dependent` is the class that ended it, as in `_NOT_ROW_WISE`.
    """

    def __init__(self) -> None:
        self._seen: Set[int] = set()
        self._unmodified: Dict[type, bool] = {}
        self.batch_dependent = ""

    def is_unmodified(self, model: Any) -> bool:
        """Whether each value is data, or an instance of a class that is as its library made it."""
        if _library(type(model)) not in _LIBRARIES:
            return False
        unseen: List[Any] = [model]
        while unseen:
            value = unseen.pop()
            if isinstance(value, _PLAIN_TYPES) and type(value) in _PLAIN_TYPES:
                continue
            if id(value) in self._seen:
                continue
            self._seen.add(id(value))
            if len(self._seen) > _MAX_VALUES or not self._is_allowed(value):
                return False
            unseen += _values_within(value)
        return True

    def _is_allowed(self, value: Any) -> bool:
        if isinstance(value, type):
            return _library(value) in _LIBRARIES | _DATA_LIBRARIES
        if isinstance(value, _FUNCTIONS):
            return str(getattr(value, "__module__", "")).partition(".")[0] in _LIBRARIES
        kind = type(value)
        if kind not in self._unmodified:
            self._unmodified[kind] = _is_unmodified(kind)
        if kind.__name__ in _NOT_ROW_WISE and self._unmodified[kind]:
            self.batch_dependent = kind.__name__
            return False
        # A FunctionTransformer calls any function that it was given, such as a sum or a sort of numpy's.
        return self._unmodified[kind] and not (kind.__name__ == "FunctionTransformer" and value.func is not None)


def _library(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]


def _is_unmodified(kind: type) -> bool:
    """Whether a class is the one in its library, and none of its functions was replaced by other code."""
    if _library(kind) in _DATA_LIBRARIES or kind.__module__ == "collections":
        return kind.__name__ != "ufunc"
    if _library(kind) not in _LIBRARIES:
        return False
    original: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        original = getattr(original, name, None)
    if original is not kind:
        return False
    bases = [base for base in kind.__mro__ if _library(base) in _LIBRARIES]
    functions = [each for base in bases for each in vars(base).values() if isinstance(each, types.FunctionType)]
    return all(str(function.__module__).partition(".")[0] in _LIBRARIES | _DATA_LIBRARIES for function in functions)


def _values_within(value: Any) -> List[Any]:
    """The values that a value holds directly."""
    values: List[Any] = []
    if isinstance(value, dict):
        values += [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        values += value
    elif getattr(getattr(value, "dtype", None), "hasobject", False) and hasattr(value, "ravel"):
        values += value.ravel().tolist()
    if _library(type(value)) in _LIBRARIES:
        values += getattr(value, "__dict__", {}).values()
    return values
