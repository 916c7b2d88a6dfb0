"""The connection to an engine's agent: wakes revisions and hears where their replicas are.

Level-triggered: what is watched is asked for again after every reconnect, so neither side remembers the other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidegate.core.endpoint.revision import RevisionAddresses, RevisionId

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.1
MAX_LINE_BYTES = 4 * 1024 * 1024


class _Push(msgspec.Struct):
    """A line from the agent; answers to our requests have no `addresses`."""

    addresses: RevisionAddresses | None = None


class AgentLink:
    """Wakes revisions through one agent, for as long as they are watched."""

    def __init__(self, socket: Path, on_addresses: Callable[[RevisionAddresses], None]) -> None:
        self._socket, self._on_addresses = socket, on_addresses
        self._watched: set[RevisionId] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._decoder = msgspec.json.Decoder(_Push)
        self._next_id = 0

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Let go of the agent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def watch(self, revision: RevisionId) -> None:
        """Hear of its replicas from now on, without waking it. Does not wait."""
        self._watched.add(revision)
        self._ask("watch", revision)

    def wake(self, revision: RevisionId) -> None:
        """Have a replica of it ready, and hear of its replicas from now on. Does not wait."""
        self._watched.add(revision)
        self._ask("wake", revision)

    def unwatch(self, revision: RevisionId) -> None:
        """Hear of it no more."""
        if revision in self._watched:
            self._watched.discard(revision)
            self._ask("unwatch", revision)

    def used(self, revisions: Sequence[RevisionId]) -> None:
        """Say that these are in use: they are not to make room for others. Does not wait."""
        self._send({"verb": "used", "revisions": revisions})

    def _ask(self, verb: str, revision: RevisionId) -> None:
        self._send({"verb": verb, "revision": revision})

    def _send(self, request: dict[str, Any]) -> None:
        if self._writer is not None:
            self._next_id += 1
            self._writer.write(msgspec.json.encode({"id": self._next_id, **request}) + b"\n")

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
                await self._follow()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(self._socket, limit=MAX_LINE_BYTES)
        try:
            for revision in self._watched:
                self._ask("watch", revision)
            while line := await reader.readline():
                push = self._decoder.decode(line)
                if push.addresses is not None:
                    self._on_addresses(push.addresses)
        finally:
            self._writer.close()
            self._writer = None
