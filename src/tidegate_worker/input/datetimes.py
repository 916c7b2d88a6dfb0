"""Dates and times of a column as MLflow's `datetime`: nanoseconds in UTC, without a time zone.

Texts in ISO 8601 may mix its forms. Pandas reads other texts, which must be in one format for the whole column. A
number is nanoseconds since 1970, as in MLflow. A date that nanoseconds cannot hold is refused; pandas and numpy would
wrap around.
"""

import re
import warnings
from typing import Any, List, Optional

# The range of 64 bits of nanoseconds, for people.
RANGE = "from 1677-09-22 to 2262-04-11"

# Texts that pandas reads as a missing date.
_MISSING = frozenset({"", "NaT", "nat", "NAT", "nan", "NaN", "NAN"})
_FINER_THAN_NANOSECONDS = re.compile(r"[.,]\d{9}\d*?[1-9]")  # pandas drops these digits
_MIN_FINER_LENGTH = 20
_DATE_LENGTH = len("20240101")
# The warnings of pandas and dateutil about an unknown time zone, which they leave out.
_UNKNOWN_ZONE = (FutureWarning, RuntimeWarning)
_DECIMAL_COMMA = re.compile(r"(:\d\d),(?=\d)")  # ISO 8601 allows it as well as a point
_LIMIT = 2**63 - 1
# A date beyond this is within two days of the limit: a time zone may have wrapped it around.
_SAFE_LIMIT = _LIMIT - 2 * 86_400 * 10**9


def nanoseconds(values: List[Any]) -> Any:
    """The values as a numpy array of `datetime64[ns]`. Raises ValueError, TypeError or OverflowError."""
    if set(map(type, values)) <= {str, type(None)}:
        return _of_texts(values)
    import numpy as np

    dates: Any = np.full(len(values), "NaT", dtype="datetime64[ns]")
    texts = [at for at, value in enumerate(values) if isinstance(value, str)]
    dates[texts] = _of_texts([values[at] for at in texts])
    for at, value in enumerate(values):
        if not isinstance(value, str) and value is not None and value == value:  # NaN is missing
            dates[at] = np.datetime64(_whole_number(value), "ns")
    return dates


def first_misfit(values: List[Any]) -> Optional[int]:
    """The index of the first value that is no date, or in another format than those before; None if there is none."""
    fitting, failing = 0, len(values) + 1  # the first `fitting` values fit, the first `failing` do not
    while failing - fitting > 1:
        middle = (fitting + failing) // 2
        if _all_fit(values[:middle]):
            fitting = middle
        else:
            failing = middle
    return fitting if fitting < len(values) else None


def _all_fit(values: List[Any]) -> bool:
    try:
        nanoseconds(values)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _whole_number(value: Any) -> int:
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
    if any(value and len(value) > _MIN_FINER_LENGTH and _FINER_THAN_NANOSECONDS.search(value) for value in values):
        raise ValueError("finer than nanoseconds")
    zoned = [value is not None and ("+" in value or value.rfind("-") >= _DATE_LENGTH) for value in values]
    if any(zoned) and not all(zoned):  # pandas 2 gives a text without a zone that of the text before
        dates: Any = np.empty(len(values), dtype="datetime64[ns]")
        for has in (True, False):
            places = [at for at, has_zone in enumerate(zoned) if has_zone is has]
            dates[places] = _of_texts([values[at] for at in places])
        return dates
    units = hasattr(
        pd.Series.dt, "as_unit"
    )  # since pandas 2; pandas 1 has nanoseconds only, and reads each text in a form of its own
    parsed = _in_iso(values) if units else None
    if parsed is None:
        points = [value and _DECIMAL_COMMA.sub(r"\1.", value) for value in values]
        parsed = _in_iso(points) if units and points != values else None
        parsed = _in_one_format(points) if parsed is None else parsed
    parsed = parsed.dt.tz_localize(None)
    if units:
        parsed = parsed.dt.as_unit("ns")  # raises where astype would wrap around
    dates = parsed.to_numpy()
    _check_wraparound(values, dates)
    return dates


def _parsed(values: List[Optional[str]], **options: Any) -> Any:
    import pandas as pd

    return pd.to_datetime(pd.Series(values, dtype=object), utc=True, **options)


def _in_iso(values: List[Optional[str]]) -> Any:
    """The texts read as ISO 8601, each in a form of its own; None if one is something else."""
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


def _check_wraparound(values: List[Optional[str]], dates: Any) -> None:
    """Raises ValueError for a date beyond the limit: pandas 2 wraps it around, or makes a missing date of it."""
    import numpy as np

    numbers = dates.view("int64")
    far = (numbers > _SAFE_LIMIT) | (numbers < -_SAFE_LIMIT)
    if not far.any():
        return
    for at in np.flatnonzero(far):
        text = values[at]
        if text is not None and text not in _MISSING and str(dates[at])[:4] not in text:
            raise ValueError("beyond the limit of nanoseconds")
