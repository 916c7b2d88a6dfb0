"""One replica's process, started by this agent or adopted from the last: watched, drained, killed."""

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
from tidegate.engines.linux.exit_statuses import Reaper
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

# What a worker says of how it serves; see `Proof`.
Words = Mapping[str, Any]
Costs = tuple[tuple[int, float], ...]


class Status(msgspec.Struct, frozen=True):
    """A line of the status pipe."""

    state: Literal["ready", "failed", "serving"]  # "serving": it serves in another way than before
    proof: Proof | None = None
    message: str = ""
    answer: str | None = None  # what the model said to its example, when it was proved
    path: Words | None = None
    batching: Words | None = None
    costs: Costs = ()


class Watcher(Protocol):
    """Who is told what becomes of a replica."""

    def replica_ready(self, replica: "ReplicaProcess", proof: Proof | None, answer: str | None) -> None: ...
    def replica_failed(self, replica: "ReplicaProcess", message: str) -> None: ...
    def replica_serves(self, replica: "ReplicaProcess", path: Words, batching: Words, costs: Costs) -> None: ...
    def replica_ended(self, replica: "ReplicaProcess", status: int | None) -> None: ...


class ReplicaProcess:
    """A process and what is known of it: `record` is what stands on disk, `facts` what decisions are made from.

    `status_pipe` is where a process that was just started reports; an adopted one has none. `ended`: its end was seen.
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

    @classmethod
    def adopt(cls, record: ReplicaRecord) -> "ReplicaProcess":
        """The process of a record that is alive. Raises ProcessLookupError when it has just ended."""
        state = ReplicaState.READY if record.ready else ReplicaState.STARTING
        since = time.monotonic() - (0.0 if record.ready else record.age)
        facts = ReplicaFacts(record.id, record.revision, record.launch, state, since, forked=record.forked)
        return cls(record, facts, os.pidfd_open(record.pid))

    @property
    def replica(self) -> Replica:
        """The replica as it is reported."""
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
        )

    @property
    def pid(self) -> int:
        return self.record.pid

    def watch(self, watcher: Watcher, reaper: Reaper) -> None:
        """Tell `watcher` from now on; needs the running loop."""
        loop = asyncio.get_running_loop()
        reaper.watch(self.record.pid)
        loop.add_reader(self._pidfd, self._on_end, watcher, reaper)
        if self._status_pipe is not None:
            loop.add_reader(self._status_pipe, self._on_status, watcher)

    def enter(self, state: ReplicaState) -> None:
        """Note that it is in another state from now on."""
        self.facts = replace(self.facts, state=state, since=time.monotonic())

    def drain(self) -> None:
        """Ask it to finish what it has begun and end."""
        self.enter(ReplicaState.DRAINING)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)

    def kill(self) -> None:
        """End it now, with all that it has started."""
        self.facts = replace(self.facts, state=ReplicaState.DRAINING, killed=True)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._kill_group()

    def _kill_group(self) -> None:
        # It leads its own process group. The number stays taken while anybody is in the group, its leader or not.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.record.pid, signal.SIGKILL)

    def _on_end(self, watcher: Watcher, reaper: Reaper) -> None:
        self.ended = True
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.deadline.close()
        self._kill_group()
        try:
            if self._status_pipe is not None:
                self._on_status(watcher)  # its last words, when its end is noticed first
        finally:
            self._close_status_pipe()
            reaper.collect(self.record.pid, self.record.started_at, lambda status: watcher.replica_ended(self, status))

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
            # One that ends closes its pipe too, a moment before its end is seen.
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
        if status.state == "ready":
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
