"""How much memory this process has resident, from /proc (see proc(5))."""

import os


def resident_bytes() -> int:
    """Bytes, with all that is shared; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - pathlib costs more than the read
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
