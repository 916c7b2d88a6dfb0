"""Dates and times of a column in nanoseconds, UTC without a zone: MLflow's `datetime`.

ISO 8601 is read in any mixture of its forms; other text as pandas reads it, in one format for the column; a number is
nanoseconds since 1970, as in MLflow. What nanoseconds cannot hold is refused: pandas and numpy would wrap it around.
"""

import re
import warnings
from typing import Any, List, Optional

# What 64 bits of nanoseconds hold, for people.
RANGE = "from 1677-09-22 to 2262-04-11"

# What pandas reads as missing.
_MISSING = frozenset({"", "NaT", "nat", "NAT", "nan", "NaN", "NAN"})
_FINER = re.compile(r"[.,]\d{9}\d*?[1-9]")  # than nanoseconds: pandas drops it
_FINER_LENGTH = 20
_DATE_LENGTH = len("20240101")
# How pandas and dateutil warn of a zone that they do not know and leave out.
_UNKNOWN_ZONE = (FutureWarning, RuntimeWarning)
_COMMA = re.compile(r"(:\d\d),(?=\d)")  # ISO 8601's other decimal sign
_LIMIT = 2**63 - 1
# Nearer to the limit than two days a zone may have wrapped it around.
_SURE = _LIMIT - 2 * 86_400 * 10**9


def nanoseconds(values: List[Any]) -> Any:
    """The values as an array of numpy's `datetime64[ns]`. Raises ValueError, TypeError or OverflowError."""
    if set(map(type, values)) <= {str, type(None)}:
        return _of_texts(values)
    import numpy as np

    found: Any = np.full(len(values), "NaT", dtype="datetime64[ns]")
    texts = [at for at, value in enumerate(values) if isinstance(value, str)]
    found[texts] = _of_texts([values[at] for at in texts])
    for at, value in enumerate(values):
        if not isinstance(value, str) and value is not None and value == value:  # NaN is missing
            found[at] = np.datetime64(_whole(value), "ns")
    return found


def first_misfit(values: List[Any]) -> Optional[int]:
    """The first value that is no date, or that is in another format than those before it; None if there is none."""
    fitting, failing = 0, len(values) + 1  # how many values from the first on
    while failing - fitting > 1:
        middle = (fitting + failing) // 2
        if _fit(values[:middle]):
            fitting = middle
        else:
            failing = middle
    return fitting if fitting < len(values) else None


def _fit(values: List[Any]) -> bool:
    try:
        nanoseconds(values)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("neither text nor a number")
    whole = int(value)
    if whole != value or not -_LIMIT <= whole <= _LIMIT:
        raise ValueError("no whole number of 64 bits")
    return whole


def _of_texts(values: List[Optional[str]]) -> Any:
    import numpy as np
    import pandas as pd

    if not values:
        return np.empty(0, dtype="datetime64[ns]")
    if any(value and len(value) > _FINER_LENGTH and _FINER.search(value) for value in values):
        raise ValueError("finer than nanoseconds")
    zoned = [value is not None and ("+" in value or value.rfind("-") >= _DATE_LENGTH) for value in values]
    if any(zoned) and not all(zoned):  # pandas 2 takes a zone for that of the next text too, if that has none
        found: Any = np.empty(len(values), dtype="datetime64[ns]")
        for has in (True, False):
            places = [at for at, one in enumerate(zoned) if one is has]
            found[places] = _of_texts([values[at] for at in places])
        return found
    units = hasattr(pd.Series.dt, "as_unit")  # since pandas 2; before, all is in nanoseconds, and each text in its form
    parsed = _in_iso(values) if units else None
    if parsed is None:
        points = [value and _COMMA.sub(r"\1.", value) for value in values]
        parsed = _in_iso(points) if units and points != values else None
        parsed = _in_one_format(points) if parsed is None else parsed
    parsed = parsed.dt.tz_localize(None)
    if units:
        parsed = parsed.dt.as_unit("ns")  # raises, where astype would wrap around
    found = parsed.to_numpy()
    _check_the_far(values, found)
    return found


def _parsed(values: List[Optional[str]], **options: Any) -> Any:
    import pandas as pd

    return pd.to_datetime(pd.Series(values, dtype=object), utc=True, **options)


def _in_iso(values: List[Optional[str]]) -> Any:
    """The texts as ISO 8601, each in a form of its own; None if that is not what they are."""
    try:
        return _parsed(values, format="ISO8601")
    except ValueError:
        return None


def _in_one_format(values: List[Optional[str]]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in _UNKNOWN_ZONE:
            warnings.simplefilter("error", kind)
        try:
            return _parsed(values)
        except _UNKNOWN_ZONE:
            raise ValueError("an unknown zone") from None


def _check_the_far(values: List[Optional[str]], found: Any) -> None:
    """pandas 2 wraps what a zone moves over the limit around, and takes the lowest number for a missing date."""
    import numpy as np

    numbers = found.view("int64")
    far = (numbers > _SURE) | (numbers < -_SURE)
    if not far.any():
        return
    for at in np.flatnonzero(far):
        text = values[at]
        if text is not None and text not in _MISSING and str(found[at])[:4] not in text:
            raise ValueError("beyond the limit of nanoseconds")
