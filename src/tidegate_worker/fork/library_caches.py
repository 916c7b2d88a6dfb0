"""Lookups that libraries cache at their first use. A template makes them beforehand, for all its forks."""

import sys
from contextlib import suppress
from typing import Any

# Module and function. The function is cached, has no arguments, depends on the environment alone and starts nothing.
_LOOKUPS = (
    ("narwhals.plugins", "_discover_entrypoints"),  # scikit-learn's first predict; reads all packages' metadata, 10 ms
)


def fill() -> None:
    """Call the functions whose module is loaded.

    A library without such a function makes its lookup at its first use.
    """
    for module, name in _LOOKUPS:
        function: Any = getattr(sys.modules.get(module), name, None)
        if hasattr(function, "cache_info"):
            with suppress(Exception):
                function()
