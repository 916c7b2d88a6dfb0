"""The process of one replica, which this agent has started or adopted from the last one."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol

import msgspec

from tidegate.core.endpoint.revision import Proof, Replica, ReplicaState
from tidegate.engines.linux.exit_statuses import ExitStatuses
from tidegate.engines.linux.process_usage import Usage, cpu_seconds
from tidegate.engines.linux.replica_deadline import Deadline
from tidegate.engines.replicas.replica_record import ReplicaRecord
from tidegate.engines.scheduling.facts import ReplicaFacts

_MAX_STATUS_BYTES = 1024 * 1024
_ENDING_SECONDS = 1.0
_SILENT = (
    "The model has closed the file descriptor by which its replica tells that it is ready, or has written over 1 MiB "
    "there. Its code must leave descriptors alone that it has not opened."
)

# How a replica serves, by its worker's report: the request path, or whether it batches; see `Proof`.
ServingMode = Mapping[str, Any]
# Pairs: a batch's number of rows, and the seconds that it took; see `Proof`.
Costs = tuple[tuple[int, float], ...]


class Status(msgspec.Struct, frozen=True):
    """A line that a worker writes to its status pipe."""

    # "loaded": its model is, and is to prove itself; "serving": its serving mode has changed
    state: Literal["loaded", "ready", "failed", "serving"]
    proof: Proof | None = None
    message: str = ""
    answer: str | None = None  # the model's answer to its input example, when that was tried
    path: ServingMode | None = None
    batching: ServingMode | None = None
    costs: Costs = ()


class Watcher(Protocol):
    """Is called when the state of a replica's process changes."""

    def replica_ready(self, replica: "ReplicaProcess", proof: Proof | None, answer: str | None) -> None: ...
    def replica_failed(self, replica: "ReplicaProcess", message: str) -> None: ...
    def replica_serves(
        self, replica: "ReplicaProcess", path: ServingMode, batching: ServingMode, costs: Costs
    ) -> None: ...
    def replica_ended(self, replica: "ReplicaProcess", status: int | None) -> None: ...


class ReplicaProcess:
    """A replica's process. `record` is its pid file's content, and `facts` are what the schedule decides from.

    `status_pipe` is the pipe to which a process that this agent has started reports; an adopted process has none.
    `ended`: the process has ended.
    """

    def __init__(self, record: ReplicaRecord, facts: ReplicaFacts, pidfd: int, status_pipe: int | None = None) -> None:
        self.record = record
        self.facts = facts
        self._pidfd = pidfd
        self._status_pipe = status_pipe
        self._unread = b""
        self.usage = Usage()
        self.deadline = Deadline(record.pid)
        self.ended = False
        self.loaded_at = record.loaded_at  # unix seconds; 0 before, and where it is not known

    @classmethod
    def adopt(cls, record: ReplicaRecord) -> "ReplicaProcess":
        """The running process of a record. Raises ProcessLookupError where it has just ended."""
        state = ReplicaState.READY if record.ready else ReplicaState.STARTING
        since = time.monotonic() - (0.0 if record.ready else record.age)
        facts = ReplicaFacts(record.id, record.revision, record.launch, state, since, forked=record.forked)
        return cls(record, facts, os.pidfd_open(record.pid))

    @property
    def replica(self) -> Replica:
        """The replica as the engine reports it."""
        record = self.record
        return Replica(
            record.id,
            self.facts.state,
            record.address,
            record.pid,
            record.started_at,
            record.forked,
            memory_bytes=self.usage.memory_bytes,
            cpu_seconds=cpu_seconds(record.pid) or 0.0,
            loaded_at=self.loaded_at,
            ready_at=record.ready_at,
        )

    @property
    def pid(self) -> int:
        return self.record.pid

    def watch(self, watcher: Watcher, exit_statuses: ExitStatuses) -> None:
        """Call `watcher` from now on. Needs a running event loop."""
        loop = asyncio.get_running_loop()
        exit_statuses.watch(self.record.pid)
        loop.add_reader(self._pidfd, self._on_end, watcher, exit_statuses)
        if self._status_pipe is not None:
            loop.add_reader(self._status_pipe, self._on_status, watcher)

    def enter(self, state: ReplicaState) -> None:
        """Note that the replica has entered this state now."""
        self.facts = replace(self.facts, state=state, since=time.monotonic())

    def become_ready(self) -> None:
        """Note that the replica can predict, in its record too."""
        self.enter(ReplicaState.READY)
        ready_at = time.time()
        self.record = msgspec.structs.replace(self.record, ready=True, loaded_at=self.loaded_at, ready_at=ready_at)

    def drain(self) -> None:
        """Ask the process, by SIGTERM, to finish its requests and end."""
        self.enter(ReplicaState.DRAINING)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, with the processes that it has started."""
        self.facts = replace(self.facts, state=ReplicaState.DRAINING, killed=True)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._kill_group()

    def _kill_group(self) -> None:
        # The process leads its own group. The group's number stays taken until its last member has ended.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.record.pid, signal.SIGKILL)

    def _on_end(self, watcher: Watcher, exit_statuses: ExitStatuses) -> None:
        self.ended = True
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.deadline.close()
        self._kill_group()
        try:
            if self._status_pipe is not None:
                self._on_status(watcher)  # what it reported last, where its end is seen before that
        finally:
            self._close_status_pipe()
            exit_statuses.collect(
                self.record.pid, self.record.started_at, lambda status: watcher.replica_ended(self, status)
            )

    def _on_status(self, watcher: Watcher) -> None:
        assert self._status_pipe is not None
        try:
            data = os.read(self._status_pipe, 65536)
        except BlockingIOError:
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._take(line, watcher)
        if not data or len(self._unread) > _MAX_STATUS_BYTES:
            self._close_status_pipe()
            # A process that ends closes its pipe a moment before its end is seen.
            asyncio.get_running_loop().call_later(_ENDING_SECONDS, self._fell_silent, watcher)

    def _fell_silent(self, watcher: Watcher) -> None:
        if not self.ended and self.facts.state is ReplicaState.STARTING:
            watcher.replica_failed(self, _SILENT)
            self.kill()

    def _take(self, line: bytes, watcher: Watcher) -> None:
        try:
            status = msgspec.json.decode(line, type=Status)
        except (msgspec.DecodeError, UnicodeDecodeError):  # the model's own code has written there
            return
        if status.state == "loaded":
            self.loaded_at = self.loaded_at or time.time()
        elif status.state == "ready":
            watcher.replica_ready(self, status.proof, status.answer)
        elif status.state == "failed":
            watcher.replica_failed(self, status.message)
        elif status.path is not None and status.batching is not None:
            watcher.replica_serves(self, status.path, status.batching, status.costs)

    def _close_status_pipe(self) -> None:
        if self._status_pipe is not None:
            asyncio.get_running_loop().remove_reader(self._status_pipe)
            os.close(self._status_pipe)
            self._status_pipe = None
