"""The process of one template, and the channel by which it is asked for forks."""

import asyncio
import contextlib
import math
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from tidegate.core.endpoint.revision import RevisionTarget
from tidegate.engines.linux import spawning
from tidegate.engines.linux.process_usage import memory_bytes
from tidegate.engines.templates.template_imports import Imports

_REPLY_SECONDS = 2.0
_MAX_MESSAGE = 1 << 20


class NoFork(Exception):
    """The template has forked no replica; the sentence says why. The template itself may have ended."""


class Message(msgspec.Struct, frozen=True):
    """A message of a template: one on its imports, and then an answer to each request."""

    state: Literal["ready", "thread", ""] = ""
    module: str = ""  # the module that started a thread or keeps a file open
    left_out: Mapping[str, str] = msgspec.field(default_factory=dict)  # module → why it was not imported
    id: int = 0
    pid: int = 0
    refused: str = ""
    ahead: int = 0  # the pid of a child that is forked already and waits for the next request


class Template:
    """A process from which replicas are forked, once it is warm. It ends when its channel is closed.

    It belongs to the running event loop. `ended` is called once, when the template can fork no more.
    """

    def __init__(
        self,
        key: str,
        target: RevisionTarget,
        pid: int,
        channel: socket.socket,
        scratch: Path,
        ended: Callable[["Template"], None],
    ) -> None:
        self.key, self.target, self.pid = key, target, pid
        self.scratch = scratch  # its working directory
        self.memory_bytes = 0  # PSS, as last measured
        self.recorded_at = 0  # see `Imports.recorded_at`
        self.warm_at = -math.inf  # monotonic seconds
        self._channel, self._on_end = channel, ended
        self._pidfd = os.pidfd_open(pid)
        loop = asyncio.get_running_loop()
        self._warm: asyncio.Future[Message] = loop.create_future()
        self._replies: dict[int, asyncio.Future[int]] = {}
        self._last_id, self._retired = 0, False
        self._next_child = 0
        self.forks = 0  # replicas that it has forked
        loop.add_reader(channel, self._on_message)

    @classmethod
    def start(
        cls,
        key: str,
        target: RevisionTarget,
        environment: Mapping[str, str],
        log: int,
        scratch: Path,
        ended: Callable[["Template"], None],
    ) -> "Template":
        """Start a template, which waits for `warm`. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            wiring = ((theirs.fileno(), 0), (log, 1), (log, 2))
            pid = spawning.spawn(target, spawning.TEMPLATE, wiring, environment)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        return cls(key, target, pid, ours, scratch, ended)

    async def warm(self, environment: str, imports: Imports) -> Message:
        """Have it import, and return its message on that. Raises NoFork when it ends meanwhile."""
        self.recorded_at = imports.recorded_at
        order = {"environment": environment, "imports": imports.names, "left_out": imports.left_out}
        try:
            self._channel.send(msgspec.json.encode(order | {"scratch": str(self.scratch)}))
        except OSError as error:
            raise NoFork(f"it takes no order: {error.strerror}") from None
        return await self._warm

    async def fork(self, given: Sequence[int]) -> int:
        """Fork a replica and return its pid. Raises NoFork.

        `given` are its standard input, log and status pipe. A template that does not answer within 2 s is ended.
        """
        self._last_id += 1
        number = self._last_id
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        try:
            socket.send_fds(self._channel, [msgspec.json.encode({"id": number})], list(given))
            async with asyncio.timeout(_REPLY_SECONDS):
                pid = await reply
            self.forks += 1
            return pid
        except TimeoutError:
            self.end(f"it did not fork within {_REPLY_SECONDS:g} s")
            raise NoFork(f"it did not fork within {_REPLY_SECONDS:g} s") from None
        except OSError as error:
            self.end(str(error.strerror))
            raise NoFork(f"it takes no request: {error.strerror}") from None
        finally:
            del self._replies[number]
            if self._retired:
                self.retire()

    @property
    def pids(self) -> tuple[int, ...]:
        """Its process, and the child that it has forked for the next request."""
        return (self.pid, self._next_child) if self._next_child else (self.pid,)

    @property
    def forking(self) -> bool:
        """Whether a request is under way."""
        return bool(self._replies)

    def retire(self) -> None:
        """End it once all requests are answered."""
        self._retired = True
        if not self._replies:
            self.end("its successor is warm")

    def end(self, reason: str = "it is no longer needed") -> None:
        """End it at once. Replicas that were forked from it live on. Idempotent."""
        if self._channel.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._channel)
        self._channel.close()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what its imports started; replicas lead groups of their own
        os.close(self._pidfd)
        waiting: list[asyncio.Future[Any]] = [self._warm, *self._replies.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(NoFork(reason))
                future.exception()  # nobody may be waiting, which asyncio would log
        self._on_end(self)

    def _on_message(self) -> None:
        try:
            data = self._channel.recv(_MAX_MESSAGE)
            message = msgspec.json.decode(data, type=Message) if data else None
        except BlockingIOError:
            return
        except (OSError, msgspec.DecodeError):
            message = None
        if message is None:
            self.end("it has ended")
        elif message.state:
            if not self._warm.done():
                self._warm.set_result(message)
        elif message.ahead:
            self._next_child = message.ahead
        elif message.refused:
            self.end(message.refused)
        elif (reply := self._replies.get(message.id)) is not None and not reply.done():
            self._next_child = 0
            reply.set_result(message.pid)

    def measure(self) -> int:
        """The PSS of its processes together, bytes. Blocks."""
        return sum(memory_bytes(pid) or 0 for pid in self.pids)
