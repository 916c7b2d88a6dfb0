"""When two answers are the same."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tidegate_worker.output import equality


@pytest.mark.parametrize(
    ("one", "other", "likeness"),
    [
        ([1.0, "a", None], [1.0, "a", None], (True, True)),
        ([1.0], [1.0 + 1e-12], (True, False)),
        ([1.0], [1.0 + 1e-6], (False, False)),
        ([1e-20], [0.0], (True, False)),
        ([1], [1.0], (False, False)),
        ([1], [True], (False, False)),
        ([0.0], [None], (False, False)),
        (["a"], ["b"], (False, False)),
        ([1], [2], (False, False)),
        ([1, 2], [1], (False, False)),
        ([{"a": 1.0}], [{"a": 1.0 + 1e-12}], (True, False)),
        ([{"a": 1.0}], [{"b": 1.0}], (False, False)),
        ([{"a": 1}], [{"a": 1.0}], (False, False)),
    ],
)
def test_compare(one: Any, other: Any, likeness: tuple[bool, bool]) -> None:
    assert equality.compare(one, other, equality.DOUBLE) == likeness


@pytest.mark.parametrize(
    ("output", "tolerance"),
    [
        (np.zeros(2), equality.DOUBLE),
        (np.zeros(2, np.float32), equality.SINGLE),
        (np.zeros(2, np.int32), equality.DOUBLE),
        (pd.Series([1.0], dtype="float32"), equality.SINGLE),
        (pd.DataFrame({"a": [1.0], "b": np.zeros(1, np.float32)}), equality.SINGLE),
        (pd.DataFrame({"a": ["x"]}), equality.DOUBLE),
        ([np.float32(1.0)], equality.SINGLE),
        ([1.0], equality.DOUBLE),
        ("text", equality.DOUBLE),
    ],
)
def test_tolerance(output: Any, tolerance: float) -> None:
    assert equality.tolerance(output) == tolerance
