"""Starts a program of the worker in a model's environment. No other module of the engine starts processes."""

import fcntl
import hashlib
import os
import signal
from collections.abc import Mapping, Sequence

import msgspec

from tidegate.core.endpoint.revision import RevisionTarget
from tidegate.core.endpoint.served_entity import is_reserved_variable

STATUS_FD = 3
_LOWEST_FREE_FD = 10  # above all numbers that a process gets, so that no descriptor overwrites another one

# The overlay is last on sys.path, so that the model's own packages come first. The working directory is not on it.
_BOOTSTRAP = (
    "import sys; sys.path[:] = [*filter(None, sys.path), sys.argv[1]]; from tidegate_worker.{} import main; main()"
)
REPLICA, TEMPLATE = _BOOTSTRAP.format("__main__"), _BOOTSTRAP.format("template")

_DEFAULT = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"})
# Variables that numeric libraries read when they are imported.
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def replica_environment(environ: Mapping[str, str], target: RevisionTarget) -> dict[str, str]:
    """A replica's environment variables: a few of the platform's, which hold no secret, and the entity's own.

    Numeric libraries get one thread unless the entity says otherwise. A machine has as many replicas as cores, so with
    more threads they wait for each other. Threads that an import starts would also rule out a fork.
    """
    passed = {key: value for key, value in environ.items() if key in _PASSED_ON or key.startswith("LC_")}
    own = {key: value for key, value in target.environment_vars if not is_reserved_variable(key)}
    threads = dict.fromkeys(_THREAD_COUNTS, own.get("OMP_NUM_THREADS", "1"))
    arrow = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}  # else pyarrow's allocator starts a thread
    return passed | threads | arrow | own


def template_key(environ: Mapping[str, str], target: RevisionTarget) -> str:
    """The key of the template from which a replica can be forked: a digest of all that the first import depends on."""
    parts = (target.environment, sorted(replica_environment(environ, target).items()))
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def spawn(
    target: RevisionTarget, program: str, wiring: Sequence[tuple[int, int]], environment: Mapping[str, str]
) -> int:
    """Start `program` as the leader of its own session, and return its pid.

    `wiring` has pairs of a descriptor here and its number in the new process, which gets no other. Raises OSError.
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
            setsigdef=_DEFAULT,  # ignored signals are inherited: Python ignores SIGPIPE, and nohup SIGHUP
        )
    finally:
        for source, _ in high:
            os.close(source)


def _inherited() -> list[int]:
    """The inheritable descriptors, which this agent has from the supervisor: a new process must not get them."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        descriptor = int(name)
        try:
            if descriptor > 2 and os.get_inheritable(descriptor):
                found.append(descriptor)
        except OSError:  # the descriptor of this listing
            continue
    return found
