"""Starts replicas: in processes of their own, or forked from a warm template."""

import asyncio
import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from tidegate.core.endpoint.revision import Address, Proof, ReplicaId, ReplicaState, RevisionTarget
from tidegate.core.errors import Unavailable
from tidegate.data_directory import DataDirectory
from tidegate.engines.linux import offspring, replica_logs
from tidegate.engines.linux.scratch import Scratch, new_name
from tidegate.engines.linux.spawning import REPLICA, STATUS_FD, replica_environment, spawn
from tidegate.engines.replicas.replica_process import ReplicaProcess
from tidegate.engines.replicas.replica_record import ReplicaRecord, ReplicaRecords
from tidegate.engines.scheduling.facts import ReplicaFacts
from tidegate.engines.templates import fork_test
from tidegate.engines.templates.template_process import NoFork, Template
from tidegate.processes.process_start import boot_id, start_ticks

# The worker's own alarm comes at this share of the start timeout, before the agent ends the replica: the alarm leaves
# in the log where the model hung.
_LOAD_SHARE = 0.9
# The time limit of a fork trial, and of a fork without a trial: for loading the model and its first answer together.
FORK_TEST_SECONDS = 10.0


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
    asked_at: float
    imports_file: str
    refutations_file: str
    scratch: str
    temporary: str
    trials: bool = True
    trial: bool = False
    answer: str | None = None


class StartContext(msgspec.Struct, frozen=True):
    """What the agent knows when it starts a replica. `proof` is the one on record.

    `asked_at` is when the agent was woken or decided on the start, monotonic seconds. `untried`: the replica is forked
    although no trial has shown that its model can be.
    """

    asked_at: float
    proved: bool = False
    proof: Proof | None = None
    untried: bool = False


def launch_digest(target: RevisionTarget) -> str:
    """A digest of all that a replica is started with. A replica with another digest than its target's is replaced."""
    parts = (target.model_dir, target.environment, target.environment_vars, target.timeout_seconds, target.batching)
    without = () if target.trials else ("no trials",)
    return hashlib.sha256(msgspec.json.encode((*parts, *without))).hexdigest()[:16]


class Launcher:
    """Starts replicas from targets. `environ` is the environment of the agent's process."""

    def __init__(self, data: DataDirectory, start_timeout_seconds: float, environ: Mapping[str, str]) -> None:
        self._data = data
        self._records = ReplicaRecords(data.run)
        self._scratch = Scratch(data.scratch)
        self._load_timeout = start_timeout_seconds * _LOAD_SHARE
        self._environ = environ

    def spawn(self, target: RevisionTarget, context: StartContext) -> ReplicaProcess:
        """Start a replica in a process of its own; it reports when it is ready.

        Raises Unavailable with the reason why no process could be started.
        """
        identity = new_id()
        try:
            self._note(target, f"replica {identity} starts")
            with self._scratch.made(identity) as scratch, _Pipes(self._data.replica_log(target.revision)) as pipes:
                environment = replica_environment(self._environ, target)
                wiring = tuple(zip((*pipes.replica_ends, pipes.replica_ends[1]), (0, 1, STATUS_FD, 2), strict=True))
                pid = spawn(target, REPLICA, wiring, environment)
                return self._release(target, context, scratch, pipes, self._record(target, identity, pid))
        except FileNotFoundError as error:
            raise Unavailable(
                f"There is no interpreter {error.filename}. Deploy the model again: its environment is then made anew."
            ) from None
        except OSError as error:
            raise Unavailable(f"No process can be started for the replica: {error.strerror}.") from None

    async def fork(
        self, template: Template, identity: ReplicaId, target: RevisionTarget, context: StartContext
    ) -> ReplicaProcess:
        """Fork a replica from its warm template. Raises NoFork."""
        try:
            with self._scratch.made(identity) as scratch, _Pipes(self._data.replica_log(target.revision)) as pipes:
                pid = await template.fork(pipes.replica_ends)
                self._note(target, f"replica {identity} starts, forked from template {template.pid}")
                return self._release(target, context, scratch, pipes, self._record(target, identity, pid, forked=True))
        except Unavailable as error:
            raise NoFork(error.message) from None
        except OSError as error:
            raise NoFork(str(error.strerror)) from None

    async def fork_trial(self, template: Template, target: RevisionTarget, proof: Proof, answer: str | None) -> str:
        """Try whether replicas of this target can be forked. Returns why not, or an empty string when they can.

        `answer` is the spawned replica's answer to the input example, which the fork's answer must equal. The trial
        takes at most `FORK_TEST_SECONDS`. Raises NoFork when no trial could be made.
        """
        identity, context = new_id(), StartContext(time.monotonic(), proved=True, proof=proof, untried=True)
        try:
            with self._scratch.made(identity) as scratch, _Pipes(self._data.replica_log(target.revision)) as pipes:
                pid = await template.fork(pipes.replica_ends)
                self._note(target, "a fork of its template is tried")
                pidfd = pipes.own(os.pidfd_open(pid))
                offspring.mark(pid, identity)
                launch = self._launch(target, Address("", ""), scratch, context)
                pipes.write(msgspec.structs.replace(launch, trial=True, answer=answer))
                reason = await fork_test.verdict(pid, pidfd, pipes.status, FORK_TEST_SECONDS)
        except Unavailable as error:
            raise NoFork(error.message) from None
        except OSError as error:
            raise NoFork(str(error.strerror)) from None
        await asyncio.to_thread(self.clear, identity)
        return reason

    def clear(self, *replicas: ReplicaId) -> None:
        """End the processes that ended replicas left running, and remove their scratch directories. Blocks."""
        if replicas:
            offspring.end(replicas)
        for replica in replicas:
            self._scratch.remove(replica)

    def left_over(self, living: Collection[ReplicaId]) -> list[ReplicaId]:
        """The replicas that are not among the `living` and have a scratch directory to clear. Raises OSError."""
        return [ReplicaId(name) for name in self._scratch.names() if name not in living]

    def _release(
        self, target: RevisionTarget, context: StartContext, scratch: Path, pipes: "_Pipes", record: ReplicaRecord
    ) -> ReplicaProcess:
        """Send a new process its launch, once its record is on disk. Raises OSError.

        A process whose agent ends before that reads the end of its standard input, and ends too.
        """
        pidfd = pipes.own(os.pidfd_open(record.pid))
        offspring.mark(record.pid, record.id)
        pipes.write(self._launch(target, record.address, scratch, context))
        state, forked = ReplicaState.STARTING, record.forked
        facts = ReplicaFacts(record.id, target.revision, record.launch, state, time.monotonic(), forked=forked)
        return ReplicaProcess(record, facts, os.dup(pidfd), os.dup(pipes.status))

    def _launch(self, target: RevisionTarget, address: Address, scratch: Path, context: StartContext) -> Launch:
        return Launch(
            revision=target.revision,
            endpoint=target.endpoint,
            served_entity=target.served_entity,
            model_dir=target.model_dir,
            socket=address.path,
            secret=address.secret,
            timeout_seconds=target.timeout_seconds,
            proved=context.proved,
            load_timeout_seconds=min(self._load_timeout, FORK_TEST_SECONDS) if context.untried else self._load_timeout,
            batching=target.batching,
            proof=context.proof,
            asked_at=context.asked_at,
            imports_file=str(self._data.import_record(target.environment.digest)),
            refutations_file=str(self._data.refutations(target.revision)),
            scratch=str(scratch),
            temporary=dict(target.environment_vars).get("TMPDIR", str(scratch)),
            trials=target.trials,
        )

    def _note(self, target: RevisionTarget, line: str) -> None:
        replica_logs.note(self._data.replica_log(target.revision), line)

    def _record(self, target: RevisionTarget, identity: ReplicaId, pid: int, *, forked: bool = False) -> ReplicaRecord:
        record = ReplicaRecord(
            id=identity,
            revision=target.revision,
            launch=launch_digest(target),
            address=Address(str(self._records.socket(identity)), secrets.token_hex(16)),
            pid=pid,
            start_ticks=start_ticks(pid) or 0,
            boot_id=boot_id(),
            started_at=time.time(),
            forked=forked,
        )
        self._records.write(record)
        return record


def new_id() -> ReplicaId:
    """An unused replica id."""
    return ReplicaId(new_name())


class _Pipes(contextlib.ExitStack):
    """The descriptors of a new replica: a pipe for its launch, its log, and a pipe for its status.

    `replica_ends` are the ends that the replica gets. All that is open here is closed after the block.
    """

    def __init__(self, log: Path) -> None:
        """Raises OSError."""
        super().__init__()
        with contextlib.ExitStack() as opened:
            opened.callback(self.close)
            self._handed = self.enter_context(contextlib.ExitStack())
            launch, write = os.pipe()
            self._handed.callback(os.close, launch)
            self._launch = self.own(write)
            read, status = os.pipe()
            self._handed.callback(os.close, status)
            self.status = self.own(read)
            os.set_blocking(self.status, False)
            output = replica_logs.open_log(log)
            self._handed.callback(os.close, output)
            self.replica_ends = (launch, output, status)
            opened.pop_all()

    def own(self, descriptor: int) -> int:
        """Close this descriptor with the others."""
        self.callback(os.close, descriptor)
        return descriptor

    def write(self, launch: Launch) -> None:
        """Write the launch. The replica has its ends by now, so this process closes them."""
        self._handed.close()
        os.write(self._launch, msgspec.json.encode(launch) + b"\n")
