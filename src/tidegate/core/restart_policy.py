"""Decisions of the supervisor: when a process is started again, when to give up, and in which order processes end."""

from collections.abc import Sequence
from itertools import groupby

MISCONFIGURED = 78
"""Exit code of a process that cannot start with these settings and has logged why (EX_CONFIG of sysexits.h)."""

_DELAYS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_SECONDS = 60.0
_DEATHS_WHILE_STARTING = 5


def deaths_in_a_row(before: int, lived_seconds: float) -> int:
    """The number of deaths in a row, this one included. After 60 s of life the count begins anew."""
    return 1 if lived_seconds >= _STEADY_SECONDS else before + 1


def restart_delay(deaths: int) -> float:
    """The pause in seconds before a process that died `deaths` times in a row is started again."""
    return _DELAYS[min(deaths, len(_DELAYS)) - 1]


def is_hopeless(deaths: int, exit_code: int) -> bool:
    """Whether the platform, which has not been ready yet, should give up because of this death."""
    return exit_code == MISCONFIGURED or deaths >= _DEATHS_WHILE_STARTING


def ending_order(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of processes in the order in which they end, the reverse of the order of their starts.

    The processes of one role (`gateway 0`, `gateway 1`) end at the same time.
    """
    groups = groupby(reversed(names), key=lambda name: name.partition(" ")[0])
    return tuple(tuple(group) for _, group in groups)
