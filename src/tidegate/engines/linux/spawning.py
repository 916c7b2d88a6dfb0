"""Runs a program of the worker in a model's environment: the only place where the engine makes a process."""

import fcntl
import hashlib
import os
import signal
from collections.abc import Mapping, Sequence

import msgspec

from tidegate.core.endpoint.endpoint import is_reserved_variable
from tidegate.core.endpoint.revision import RevisionTarget

STATUS_FD = 3
_LOWEST_FREE_FD = 10  # above those that a process is given, so that handing one over never overwrites another

# The overlay goes to the end of sys.path: the model's own packages win. The working directory is no place of code.
_BOOTSTRAP = (
    "import sys; sys.path[:] = [*filter(None, sys.path), sys.argv[1]]; from tidegate_worker.{} import main; main()"
)
REPLICA, TEMPLATE = _BOOTSTRAP.format("__main__"), _BOOTSTRAP.format("template")

_DEFAULT = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"})
# What the numeric libraries read when they are imported.
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def replica_environment(environ: Mapping[str, str], target: RevisionTarget) -> dict[str, str]:
    """A replica's environment: what is harmless of the platform's own, and the entity's variables. No secret.

    One thread, unless the entity says otherwise: that is a replica's share of a machine which holds as many as it has
    cores. More of them wait for each other, and those that an import starts would forbid a fork.
    """
    passed = {key: value for key, value in environ.items() if key in _PASSED_ON or key.startswith("LC_")}
    own = {key: value for key, value in target.environment_vars if not is_reserved_variable(key)}
    threads = dict.fromkeys(_THREAD_COUNTS, own.get("OMP_NUM_THREADS", "1"))
    arrow = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}  # pyarrow's allocator would start one
    return passed | threads | arrow | own


def template_key(environ: Mapping[str, str], target: RevisionTarget) -> str:
    """Names the template that a replica of this target can be forked from: what is fixed before the first import."""
    parts = (target.environment, sorted(replica_environment(environ, target).items()))
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def spawn(
    target: RevisionTarget, program: str, wiring: Sequence[tuple[int, int]], environment: Mapping[str, str]
) -> int:
    """Run it, leader of its own session, with descriptors in their places and none besides. Returns its pid.

    Raises OSError.
    """
    python = target.environment.python
    high = [(fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FREE_FD), place) for source, place in wiring]
    given = {place for _, place in wiring}
    try:
        return os.posix_spawn(
            python,
            [python, "-I", "-c", program, target.environment.overlay],
            environment,
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, source, place) for source, place in high),
                *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inherited() if descriptor not in given),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT,  # to ignore is inherited: Python ignores SIGPIPE, nohup SIGHUP
        )
    finally:
        for source, _ in high:
            os.close(source)


def _inherited() -> list[int]:
    """The descriptors that a new process would get without being given them: the supervisor's to this agent."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        descriptor = int(name)
        try:
            if descriptor > 2 and os.get_inheritable(descriptor):
                found.append(descriptor)
        except OSError:  # the listing's own
            continue
    return found
