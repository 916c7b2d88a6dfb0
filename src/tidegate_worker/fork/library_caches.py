"""What libraries look up once at their first use: a template does it beforehand, for all its forks."""

import sys
from contextlib import suppress
from typing import Any

# Module and function, without arguments and cached, that depends on the environment alone and starts nothing.
_LOOKUPS = (
    ("narwhals.plugins", "_discover_entrypoints"),  # scikit-learn's first predict; reads all packages' metadata, 10 ms
)


def fill() -> None:
    """Call those whose module is loaded. A library that is built otherwise looks up at its first use, as ever."""
    for module, name in _LOOKUPS:
        function: Any = getattr(sys.modules.get(module), name, None)
        if hasattr(function, "cache_info"):
            with suppress(Exception):
                function()
