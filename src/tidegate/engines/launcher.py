"""Starts replicas: the only place where the engine makes a process. A fork of a warm template will be made here too."""

import contextlib
import fcntl
import hashlib
import os
import secrets
import signal
import time
from collections.abc import Mapping, Sequence

import msgspec

from tidegate.core.errors import Unavailable
from tidegate.core.revision import Address, Proof, ReplicaId, ReplicaState, RevisionTarget
from tidegate.data_directory import DataDirectory
from tidegate.engines import replica_logs
from tidegate.engines.plan import ReplicaFacts
from tidegate.engines.replica_process import ReplicaProcess
from tidegate.engines.replica_record import ReplicaRecord, ReplicaRecords, boot_id, start_ticks

# The overlay goes to the end of sys.path: the model's own packages win.
BOOTSTRAP = "import sys; sys.path.append(sys.argv[1]); from tidegate_worker.__main__ import main; main()"

_STATUS_FD = 3
_LOWEST_FREE_FD = 10  # above those that a replica is given, so that handing one over never overwrites another

# The worker's own alarm comes before the agent's patience ends: it leaves in the log where the model hung.
_LOAD_SHARE = 0.9

_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"})


class Launch(msgspec.Struct, frozen=True):
    """The one line that a worker reads from its standard input."""

    revision: str
    endpoint: str
    served_entity: str
    model_dir: str
    socket: str
    secret: str
    timeout_seconds: float
    proved: bool
    load_timeout_seconds: float
    batching: str
    proof: Proof | None


def launch_digest(target: RevisionTarget) -> str:
    """Names all that a replica is started with: replicas with another digest are replaced."""
    parts = (target.model_dir, target.environment, target.environment_vars, target.timeout_seconds, target.batching)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def replica_environment(environ: Mapping[str, str], target: RevisionTarget) -> dict[str, str]:
    """A replica's environment: what is harmless of the platform's own, and the entity's variables. No secret."""
    passed = {key: value for key, value in environ.items() if key in _PASSED_ON or key.startswith("LC_")}
    return passed | dict(target.environment_vars)


class Launcher:
    """Starts replicas from targets. `environ` is the platform's own environment."""

    def __init__(self, data: DataDirectory, start_timeout_seconds: float, environ: Mapping[str, str]) -> None:
        self._data = data
        self._records = ReplicaRecords(data.run)
        self._load_timeout = start_timeout_seconds * _LOAD_SHARE
        self._environ = environ

    def start(self, target: RevisionTarget, *, proved: bool, proof: Proof | None = None) -> ReplicaProcess:
        """A new replica; it reports when it is ready.

        `proof` is what is on record here. Raises Unavailable with the reason why there is no process."""
        identity = ReplicaId(secrets.token_hex(4))
        address = Address(str(self._records.socket(identity)), secrets.token_hex(16))
        line = msgspec.json.encode(self._launch(target, address, proved, proof)) + b"\n"
        log = self._data.replica_log(target.revision)
        try:
            replica_logs.note(log, f"replica {identity} starts")
            return self._spawn(target, identity, address, line)
        except FileNotFoundError as error:
            raise Unavailable(
                f"There is no interpreter {error.filename}. Deploy the model again: its environment is then made anew."
            ) from None
        except OSError as error:
            raise Unavailable(f"No process can be started for the replica: {error.strerror}.") from None

    def _launch(self, target: RevisionTarget, address: Address, proved: bool, proof: Proof | None) -> Launch:
        return Launch(
            revision=target.revision,
            endpoint=target.endpoint,
            served_entity=target.served_entity,
            model_dir=target.model_dir,
            socket=address.path,
            secret=address.secret,
            timeout_seconds=target.timeout_seconds,
            proved=proved,
            load_timeout_seconds=self._load_timeout,
            batching=target.batching,
            proof=proof,
        )

    def _spawn(self, target: RevisionTarget, identity: ReplicaId, address: Address, line: bytes) -> ReplicaProcess:
        with contextlib.ExitStack() as passing:
            launch_read, launch_write = _pipe(passing)
            status_read, status_write = _pipe(passing)
            log = replica_logs.open_log(self._data.replica_log(target.revision))
            passing.callback(os.close, log)
            pid = spawn(target, (launch_read, log, status_write), replica_environment(self._environ, target))
            pidfd = os.pidfd_open(pid)
            passing.callback(os.close, pidfd)
            record = self._record(target, identity, address, pid)
            # Only now may it begin: should the agent end before this, the replica reads nothing and ends too.
            os.write(launch_write, line)
            os.set_blocking(status_read, False)
            facts = ReplicaFacts(identity, target.revision, record.launch, ReplicaState.STARTING, time.monotonic())
            return ReplicaProcess(record, facts, os.dup(pidfd), os.dup(status_read))

    def _record(self, target: RevisionTarget, identity: ReplicaId, address: Address, pid: int) -> ReplicaRecord:
        record = ReplicaRecord(
            id=identity,
            revision=target.revision,
            launch=launch_digest(target),
            address=address,
            pid=pid,
            start_ticks=start_ticks(pid) or 0,
            boot_id=boot_id(),
            started_at=time.time(),
        )
        self._records.write(record)
        return record


def spawn(target: RevisionTarget, given: Sequence[int], environment: Mapping[str, str]) -> int:
    """Run the worker, leader of its own session, with `given` as standard input, output and error, and status pipe.

    Returns its pid. Raises OSError.
    """
    python = target.environment.python
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FREE_FD) for descriptor in given]
    try:
        launch, log, status = high
        wiring = [(launch, 0), (log, 1), (log, 2), (status, _STATUS_FD)]
        return os.posix_spawn(
            python,
            [python, "-I", "-c", BOOTSTRAP, target.environment.overlay],
            environment,
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, source, place) for source, place in wiring),
                *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inherited()),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores them, and to ignore is inherited
        )
    finally:
        for descriptor in high:
            os.close(descriptor)


def _pipe(passing: contextlib.ExitStack) -> tuple[int, int]:
    read, write = os.pipe()
    passing.callback(os.close, read)
    passing.callback(os.close, write)
    return read, write


def _inherited() -> list[int]:
    """The descriptors that a new process would get without being given them: the supervisor's to this agent."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        descriptor = int(name)
        try:
            if descriptor > _STATUS_FD and os.get_inheritable(descriptor):
                found.append(descriptor)
        except OSError:  # the listing's own
            continue
    return found
