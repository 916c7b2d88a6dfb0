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


def stacked(values: Sequence[tuple[str, float]], fills: Sequence[str] = (), longest: float = 0.0) -> tuple[Part, ...]:
    """The parts of a bar in their order; those below zero count as zero. Colours are `.f1` to `.f6` in turn.

    The bar is as wide as the view box, or, of several bars, where the `longest` of them is.
    """
    amounts = [max(0.0, value) for _, value in values]
    total, at = sum(amounts), 0.0
    unit = WIDTH * min(1.0, total / longest) if longest else WIDTH
    parts = []
    for number, ((label, _), amount) in enumerate(zip(values, amounts, strict=True)):
        share = amount / total if total else 0.0
        fill = fills[number] if fills else f"f{number % 6 + 1}"
        parts.append(Part(label, amount, share, round(at, 2), round(share * unit, 2), fill))
        at += share * unit
    return tuple(parts)
