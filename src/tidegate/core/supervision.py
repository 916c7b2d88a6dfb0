"""When a process that ended is started again, when that is hopeless, and in which order processes are ended."""

from collections.abc import Sequence
from itertools import groupby

MISCONFIGURED = 78
"""Exit code of a process that cannot start with these settings and has said why (EX_CONFIG of sysexits.h)."""

_DELAYS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_SECONDS = 60.0
_DEATHS_WHILE_STARTING = 5


def deaths_in_a_row(before: int, lived_seconds: float) -> int:
    """Deaths counted so far, this one included; a process that lived long enough begins anew."""
    return 1 if lived_seconds >= _STEADY_SECONDS else before + 1


def restart_delay(deaths: int) -> float:
    """Seconds to wait before a process that died `deaths` times in a row is started again."""
    return _DELAYS[min(deaths, len(_DELAYS)) - 1]


def is_hopeless(deaths: int, exit_code: int) -> bool:
    """Whether a platform that was never ready yet should give up because of this death."""
    return exit_code == MISCONFIGURED or deaths >= _DEATHS_WHILE_STARTING


def ending_order(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of processes in the order in which they are ended: the reverse of the order in which they were started.

    The processes of one role (`gateway 0`, `gateway 1`) end together.
    """
    groups = groupby(reversed(names), key=lambda name: name.partition(" ")[0])
    return tuple(tuple(group) for _, group in groups)
