"""When a process started: with the boot's id, this tells it from all others that had or will have its pid.

The start is in clock ticks since the boot. Unlike psutil's `create_time`, it does not change when the clock is set.
"""

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 22  # of proc_pid_stat(5), which counts from 1


def boot_id() -> str:
    """The id of this boot of the machine."""
    return _BOOT_ID.read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot; None when it does not run, or is but a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # From the third field on: the second, its name, may hold spaces and parentheses.
    state, *others = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(others[_START_FIELD - 3 - 1])
