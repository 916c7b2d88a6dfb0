"""A stacked bar: the parts of a whole beside each other, as SVG attributes. `macros.html` draws it with its legend."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 1000
"""The width of the SVG's view box, in which `x` and `width` are."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part. `share` is its part of the whole, 0 to 1, and `fill` the class of its colour."""

    label: str
    value: float
    share: float
    x: float
    width: float
    fill: str


def stacked(values: Sequence[tuple[str, float]], fills: Sequence[str] = ()) -> tuple[Part, ...]:
    """The parts of a bar in their order; those below zero count as zero. Colours are `.f1` to `.f6` in turn."""
    amounts = [max(0.0, value) for _, value in values]
    total, at = sum(amounts), 0.0
    parts = []
    for number, ((label, _), amount) in enumerate(zip(values, amounts, strict=True)):
        share = amount / total if total else 0.0
        fill = fills[number] if fills else f"f{number % 6 + 1}"
        parts.append(Part(label, amount, share, round(at, 2), round(share * WIDTH, 2), fill))
        at += share * WIDTH
    return tuple(parts)
