"""Random generators across a fork. Each replica needs random numbers of its own, so a fork seeds the generators anew.

A generator that code has seeded on purpose stays as it is. Those that were left to chance are noted in the template.
"""

import gc
import os
import random
import sys
import weakref
from contextlib import contextmanager
from typing import Any, Iterator, List, Optional

_MAX_CHOSEN_SEED_BITS = 64  # a longer seed came from the kernel: nobody has chosen it

_unseeded_python: List["weakref.ref[random.Random]"] = []
_unseeded_numpy: List[Any] = []  # NumPy's generators take no weak references


@contextmanager
def noting_unseeded() -> Iterator[None]:
    """Note the generators of Python that are made in this block without a seed: modules make some at their import."""
    seed = random.Random.seed

    def noting(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None:
            _unseeded_python.append(weakref.ref(self))
        seed(self, a, version)

    random.Random.seed = noting  # type: ignore[method-assign]
    try:
        yield
    finally:
        random.Random.seed = seed  # type: ignore[method-assign]


def find_unseeded_numpy() -> None:
    """Note the generators of NumPy that were made without a seed. It searches all objects, once for all forks."""
    numpy = _loaded("numpy.random")
    if numpy is None or not hasattr(numpy, "Generator"):
        return
    generators = (each for each in gc.get_objects() if type(each) is numpy.Generator)
    _unseeded_numpy.extend(each for each in generators if _is_unseeded(each.bit_generator))


def _is_unseeded(bits: Any) -> bool:
    seed = getattr(bits, "seed_seq", None) or getattr(bits, "_seed_seq", None)  # the public name since NumPy 1.25
    entropy = getattr(seed, "entropy", None)
    return isinstance(entropy, int) and entropy.bit_length() > _MAX_CHOSEN_SEED_BITS


def reseed() -> None:
    """Seed the global generators of Python and of loaded libraries anew, and all that were noted."""
    random.seed()
    numpy, torch, multiprocessing = _loaded("numpy.random"), _loaded("torch"), _loaded("multiprocessing.process")
    if numpy is not None:
        numpy.seed()  # by the kernel; scikit-learn and others take this generator by default
    if torch is not None:
        torch.manual_seed(int.from_bytes(os.urandom(8), "little") >> 1)
    if multiprocessing is not None:
        multiprocessing.current_process().authkey = os.urandom(32)
    for reference in _unseeded_python:
        python = reference()
        if python is not None:
            python.seed()
    for generator in _unseeded_numpy:
        generator.bit_generator.state = type(generator.bit_generator)().state


def _loaded(name: str) -> Optional[Any]:
    return sys.modules.get(name)
