"""The memory, cores and GPUs of this machine, as far as this process may use them."""

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from tidegate.engines.scheduling.capacity import Machine

# The memory that the platform, builds and the rest of the machine keep: a share of it, at least this many bytes, and at
# most another share.
_RESERVED_SHARE, _RESERVED_BYTES, _RESERVED_AT_MOST = 0.1, 10**9, 0.5


def this_machine(environ: Mapping[str, str], memory_bytes: int = 0, root: Path = Path("/")) -> Machine:
    """The resources that replicas may use. `memory_bytes` is the setting; 0 leaves a reserve. `root` is for tests."""
    return Machine(memory_bytes or _for_replicas(_memory(root)), _cores(root), _gpus(environ, root))


def _for_replicas(memory: int) -> int:
    reserved = min(max(_RESERVED_SHARE * memory, _RESERVED_BYTES), _RESERVED_AT_MOST * memory)
    return memory - int(reserved)


def _memory(root: Path) -> int:
    """The machine's memory, or less where a cgroup limits it, bytes."""
    total = next(
        int(line.split()[1]) * 1024
        for line in (root / "proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal:")
    )
    limits = [*_values(root, "", "memory.max"), *_values(root, "memory", "memory.limit_in_bytes")]
    return min([total, *(int(limit) for limit in limits if limit.isdigit())])


def _cores(root: Path) -> int:
    """The cores that this process may run on, or fewer where a cgroup limits its CPU time; at least 1."""
    cores = len(os.sched_getaffinity(0))
    for line in _values(root, "", "cpu.max"):
        quota, _, period = line.partition(" ")
        if quota.isdigit() and period.isdigit():
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)


def _values(root: Path, controller: str, name: str) -> Iterator[str]:
    """The content of a file in this process's cgroup and in all above it. Cgroups version 2 have no controllers."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controller
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                with contextlib.suppress(OSError):
                    yield (folder / name).read_text().strip()


def _gpus(environ: Mapping[str, str], root: Path) -> int:
    """The number of NVIDIA GPUs: those in CUDA_VISIBLE_DEVICES, or all that the driver shows."""
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        named = [device.strip() for device in chosen.split(",")]
        return len([device for device in named if device and not device.startswith("-")])
    folder = root / "proc/driver/nvidia/gpus"
    return len(list(folder.iterdir())) if folder.is_dir() else 0
