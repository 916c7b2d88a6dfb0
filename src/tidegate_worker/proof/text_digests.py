"""Digests of texts, as a proof keeps them: the texts may be a caller's, and must not stand on record themselves.

A digest is that of the text's shape, followed by that of the text. The shape is the set of characters in the text,
where letters and digits count by their class only. So dates in two formats have two shapes.
"""

import hashlib
from typing import FrozenSet

from tidegate_worker.fast.parser import Parsed

_SHAPE_DIGITS = 16  # the length of a shape's digest, which is hexadecimal
# So many different texts of one shape stand for all texts of that shape.
_MANY_TEXTS = 24


def digest(text: str) -> str:
    """The digest of a text: that of its shape, and its own."""
    return _shape(text) + _digest(text)


def digest_of_params(parsed: Parsed) -> str:
    """The digest of a request's params, as they were written."""
    return _digest(parsed.params.decode("utf-8", "replace"))


def is_among(text_digest: str, digests: FrozenSet[str]) -> bool:
    """Whether the text is one of those, or of a shape that stands for all of its texts."""
    return text_digest in digests or text_digest[:_SHAPE_DIGITS] in digests


def generalised(digests: FrozenSet[str]) -> FrozenSet[str]:
    """The digests, with the shape alone in place of many texts of that shape."""
    shapes = [each[:_SHAPE_DIGITS] for each in digests]
    many = {shape for shape in set(shapes) if shapes.count(shape) >= _MANY_TEXTS or shape in digests}
    return frozenset(many | {each for each in digests if each[:_SHAPE_DIGITS] not in many})


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _shape(text: str) -> str:
    return _digest("".join(sorted({_class(character) for character in set(text)})))


def _class(character: str) -> str:
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return "0" if character.isdigit() else character
