"""What every JSON answer is made with."""

from typing import Any

Json = dict[str, Any]


def millis(seconds: float) -> int:
    """Unix seconds as the unix milliseconds of an answer."""
    return round(seconds * 1000)
