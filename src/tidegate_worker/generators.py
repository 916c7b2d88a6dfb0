"""Random generators after a fork: each replica must have numbers of its own."""

import os
import random
import sys
from typing import Any, Optional


def reseed() -> None:
    """Seed anew those of Python and of the libraries that are loaded. One that cannot be is left to its library."""
    random.seed()
    numpy, torch = _loaded("numpy.random"), _loaded("torch")
    if numpy is not None:
        numpy.seed()  # from the kernel; the generator that scikit-learn and others take by default
    if torch is not None:
        torch.manual_seed(int.from_bytes(os.urandom(8), "little") >> 1)


def _loaded(name: str) -> Optional[Any]:
    return sys.modules.get(name)
