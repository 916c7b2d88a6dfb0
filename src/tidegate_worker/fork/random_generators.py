"""Random generators after a fork: each replica must have numbers of its own."""

import gc
import os
import random
import sys
import weakref
from contextlib import contextmanager
from typing import Any, Iterator, List, Optional

_OF_CHANCE = 64  # bits: a seed that is longer came from the kernel, and was not chosen

_python: List["weakref.ref[random.Random]"] = []
_numpy: List[Any] = []  # to which there are no weak references


@contextmanager
def noted() -> Iterator[None]:
    """Note Python's generators that modules make while they are imported, and leave to chance."""
    seed = random.Random.seed

    def noting(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None:
            _python.append(weakref.ref(self))
        seed(self, a, version)

    random.Random.seed = noting  # type: ignore[method-assign]
    try:
        yield
    finally:
        random.Random.seed = seed  # type: ignore[method-assign]


def find() -> None:
    """Note NumPy's generators that are there, and were left to chance. Looks at every object, once for all forks."""
    numpy = _loaded("numpy.random")
    if numpy is None or not hasattr(numpy, "Generator"):
        return
    found = (one for one in gc.get_objects() if type(one) is numpy.Generator)
    _numpy.extend(one for one in found if _by_chance(one.bit_generator))


def _by_chance(bits: Any) -> bool:
    seed = getattr(bits, "seed_seq", None) or getattr(bits, "_seed_seq", None)  # the first since NumPy 1.25
    entropy = getattr(seed, "entropy", None)
    return isinstance(entropy, int) and entropy.bit_length() > _OF_CHANCE


def reseed() -> None:
    """Seed anew those of Python and of the libraries that are loaded. One that cannot be is left to its library."""
    random.seed()
    numpy, torch, multiprocessing = _loaded("numpy.random"), _loaded("torch"), _loaded("multiprocessing.process")
    if numpy is not None:
        numpy.seed()  # from the kernel; the generator that scikit-learn and others take by default
    if torch is not None:
        torch.manual_seed(int.from_bytes(os.urandom(8), "little") >> 1)
    if multiprocessing is not None:
        multiprocessing.current_process().authkey = os.urandom(32)
    for reference in _python:
        python = reference()
        if python is not None:
            python.seed()
    for generator in _numpy:
        generator.bit_generator.state = type(generator.bit_generator)().state


def _loaded(name: str) -> Optional[Any]:
    return sys.modules.get(name)
