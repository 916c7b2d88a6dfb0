"""The connection to an engine's agent: it wakes revisions and tells where their replicas are.

What is watched is asked for again after every reconnect, so neither side has to remember the other.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidegate.core.endpoint.revision import RevisionAddresses, RevisionId
from tidegate.gateway.links.process_link import ProcessLink
from tidegate.json_lines import JsonLines
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 4 * 1024 * 1024


class _Push(msgspec.Struct):
    """A line from the agent; answers to the gateway's requests have no `addresses`."""

    addresses: RevisionAddresses | None = None


class AgentLink(ProcessLink[_Push]):
    """Wakes revisions through one agent, and calls `on_addresses` when the replicas of a watched one have changed."""

    def __init__(self, socket: Path, on_addresses: Callable[[RevisionAddresses], None]) -> None:
        super().__init__("the agent", socket, _Push, MAX_LINE_BYTES)
        self._on_addresses = on_addresses
        self._watched: set[RevisionId] = set()
        self._lines: JsonLines | None = None
        self._next_id = 0

    def watch(self, revision: RevisionId) -> None:
        """Hear of its replicas from now on, without waking it. Does not wait."""
        self._watched.add(revision)
        self._ask("watch", revision)

    def wake(self, revision: RevisionId) -> None:
        """Have a replica of it ready, and hear of its replicas from now on. Does not wait."""
        self._watched.add(revision)
        self._ask("wake", revision)

    def unwatch(self, revision: RevisionId) -> None:
        """Hear of its replicas no more."""
        if revision in self._watched:
            self._watched.discard(revision)
            self._ask("unwatch", revision)

    def used(self, revisions: Sequence[RevisionId]) -> None:
        """Say that these revisions are in use, so that they do not make room for others. Does not wait."""
        self._send({"verb": "used", "revisions": revisions})

    def _ask(self, verb: str, revision: RevisionId) -> None:
        self._send({"verb": verb, "revision": revision})

    def _send(self, request: dict[str, Any]) -> None:
        if self._lines is not None:
            self._next_id += 1
            self._lines.send({"id": self._next_id, **request})

    def _opened(self, lines: JsonLines) -> None:
        self._lines = lines
        for revision in self._watched:
            self._ask("watch", revision)

    def _take(self, message: _Push) -> None:
        if message.addresses is None:
            return
        try:
            self._on_addresses(message.addresses)
        except Exception:  # the other revisions of this agent must be heard of nevertheless
            logger.exception("replicas are not followed by a defect", extra=fields(revision=message.addresses.revision))

    async def _closed(self) -> None:
        self._lines = None
