"""Finds the characters that no line of a requirements file holds: line ends of any kind and other control characters.

Whoever logs a model writes these lines. A line end within one of them would begin another line for uv, which no check
of that line has seen.
"""

import re

# All that `str.splitlines` or uv takes for the end of a line is among them. A tab is a gap as any other.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def has_control(text: str) -> bool:
    """Whether the text has a control character other than a tab, a line end of any kind among them."""
    return _CONTROL.search(text) is not None
