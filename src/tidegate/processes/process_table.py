"""The platform's own processes on this machine, as the kernel shows them."""

from collections.abc import Iterable
from dataclasses import dataclass

import psutil

TITLE = "tidegate: "
"""The beginning of the titles of the platform's processes."""


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """A process at one moment. `memory_bytes` is its PSS: shared memory is divided among those that share it."""

    pid: int
    title: str  # without TITLE
    memory_bytes: int
    cpu_seconds: float  # since its start
    started_at: float  # unix seconds


def platform_processes(top: int, without: Iterable[str] = ()) -> list[ProcessSample]:
    """The process `top` and those below it that have a title of the platform, by pid.

    Left out are those whose title begins with one of `without`. Blocks: some milliseconds per 100 MB of memory.
    """
    left_out = tuple(without)
    samples = []
    try:
        root = psutil.Process(top)
        found = [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
    for process in found:
        sample = _sample(process, left_out)
        if sample is not None:
            samples.append(sample)
    return sorted(samples, key=lambda sample: sample.pid)


def _sample(process: psutil.Process, without: tuple[str, ...]) -> ProcessSample | None:
    try:
        title = " ".join(process.cmdline()).strip()
        if not title.startswith(TITLE) or title.removeprefix(TITLE).startswith(without):
            return None
        times = process.cpu_times()
        return ProcessSample(
            process.pid,
            title.removeprefix(TITLE),
            process.memory_full_info().pss,
            times.user + times.system,
            process.create_time(),
        )
    except psutil.Error:  # it has just ended, or is somebody else's
        return None
