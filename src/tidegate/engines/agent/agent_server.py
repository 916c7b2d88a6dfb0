"""The agent's socket: newline-delimited JSON over a Unix stream.

A request is `{"id": 1, "verb": "apply", "target": {…}}`, its answer `{"id": 1, "ok": true, "result": null}` or
`{"id": 1, "ok": false, "code": "…", "message": "…"}`.

- `wake` starts a replica where there is none. `watch` starts nothing. After both, the connection gets a line
  `{"addresses": {…}}` without an id at once and at every change of that revision, until it sends `unwatch`.
- `observe` with `"changes": true` is answered with the differences from its last answer on the same connection.
- `machine` is answered with the machine's account.
- `used` names the revisions for which a gateway had requests in the last second. The others may be evicted.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tidegate.core.endpoint.machine_report import MachineReport
from tidegate.core.endpoint.revision import RevisionAddresses, RevisionId, RevisionObservation, RevisionTarget
from tidegate.core.errors import BadRequest, Internal, TidegateError
from tidegate.json_lines import JsonLines, Unreadable, decode, listen

_log = logging.getLogger(__name__)

_MAX_LINE_BYTES = 16 * 1024 * 1024
# The bytes that may wait for a client which does not read. The client is then cut off; it gets all anew later.
_MAX_UNREAD_BYTES = 8 * 1024 * 1024


class Apply(msgspec.Struct, tag_field="verb", tag="apply"):
    """Hold a target."""

    id: int
    target: RevisionTarget


class Remove(msgspec.Struct, tag_field="verb", tag="remove"):
    """Drain a revision and drop its target."""

    id: int
    revision: RevisionId


class Observe(msgspec.Struct, tag_field="verb", tag="observe"):
    """Report all held revisions, or only the `changes` since the last such answer on the same connection."""

    id: int
    changes: bool = False


class Changes(msgspec.Struct, frozen=True):
    """The differences from the last observation on a connection. The first answer has all revisions."""

    changed: dict[RevisionId, RevisionObservation]
    gone: list[RevisionId]


class AskMachine(msgspec.Struct, tag_field="verb", tag="machine"):
    """Report the machine's account."""

    id: int


class Wake(msgspec.Struct, tag_field="verb", tag="wake"):
    """Hold at least one replica of a revision, and watch it."""

    id: int
    revision: RevisionId


class Watch(msgspec.Struct, tag_field="verb", tag="watch"):
    """Send the addresses of a revision at every change."""

    id: int
    revision: RevisionId


class Unwatch(msgspec.Struct, tag_field="verb", tag="unwatch"):
    """Send the addresses of a revision no more."""

    id: int
    revision: RevisionId


class Used(msgspec.Struct, tag_field="verb", tag="used"):
    """Note that these revisions are in use."""

    id: int
    revisions: tuple[RevisionId, ...]


Request = Apply | Remove | Observe | AskMachine | Wake | Watch | Unwatch | Used
_REQUESTS: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


class Verbs(Protocol):
    """The agent's verbs, which this socket offers. All are idempotent."""

    async def apply(self, target: RevisionTarget) -> None: ...
    async def remove(self, revision: RevisionId) -> None: ...
    def observe(self) -> Mapping[RevisionId, RevisionObservation]: ...
    def machine(self) -> MachineReport: ...
    def wake(self, revision: RevisionId) -> None: ...
    def used(self, revisions: Sequence[RevisionId]) -> None: ...
    def changed_addresses(self, sent: Mapping[RevisionId, RevisionAddresses | None]) -> Iterable[RevisionAddresses]: ...


class AgentServer:
    """Serves the verbs on a Unix socket, to this user alone."""

    def __init__(self, path: Path, verbs: Verbs) -> None:
        self._path = path
        self._verbs = verbs
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. A socket that a dead agent has left is replaced. Raises OSError."""
        self._server = await listen(self._path, self._serve, _MAX_LINE_BYTES, _MAX_UNREAD_BYTES)

    async def stop(self) -> None:
        """Close the socket and every connection."""
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.abort()  # asyncio would log a cancelled connection as an error
        await asyncio.gather(*self._connections.values(), return_exceptions=True)
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    def publish(self) -> None:
        """Send every connection the changes of the revisions that it watches."""
        for connection in list(self._connections):
            try:
                connection.publish()
            except Exception:  # the other connections must get theirs nevertheless
                _log.exception("a client of the agent was not sent the changes, by a defect")
                connection.abort()  # it will connect again and get all anew

    async def _serve(self, lines: JsonLines) -> None:
        connection = _Connection(lines, self._verbs)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            with contextlib.suppress(OSError, Unreadable):
                async for line in lines.lines():
                    await connection.take(line)
        finally:
            del self._connections[connection]
            lines.close()


class _Connection:
    """One client: the revisions that it watches, with the addresses that it was sent last."""

    def __init__(self, lines: JsonLines, verbs: Verbs) -> None:
        self._lines = lines
        self._verbs = verbs
        self._sent: dict[RevisionId, RevisionAddresses | None] = {}
        self._observed: Mapping[RevisionId, RevisionObservation] = {}

    def abort(self) -> None:
        """End the connection at once."""
        self._lines.abort()

    async def take(self, line: bytes) -> None:
        """Carry out the request of a line and answer it."""
        try:
            request = _decode(line)
            self._send({"id": request.id, "ok": True, "result": await self._answer(request)})
            if isinstance(request, Wake | Watch):
                self._send_addresses({request.revision: None})
        except TidegateError as error:
            self._refuse(line, error)
        except Exception:
            _log.exception("a request to the agent failed")
            self._refuse(line, Internal("The agent failed; its log has the cause."))

    def _refuse(self, line: bytes, error: TidegateError) -> None:
        self._send({"id": _id_of(line), "ok": False, "code": error.code, "message": error.message})

    async def _answer(self, request: Request) -> object:
        match request:
            case Apply(target=target):
                await self._verbs.apply(target)
            case Remove(revision=revision):
                await self._verbs.remove(revision)
            case Observe(changes=changes):
                return self._changes() if changes else self._verbs.observe()
            case AskMachine():
                return self._verbs.machine()
            case Wake(revision=revision) | Watch(revision=revision):
                if isinstance(request, Wake):
                    self._verbs.wake(revision)
                self._sent[revision] = None
            case Unwatch(revision=revision):
                self._sent.pop(revision, None)
            case Used(revisions=revisions):
                self._verbs.used(revisions)
        return None

    def _changes(self) -> Changes:
        before, self._observed = self._observed, self._verbs.observe()
        changed = {rid: seen for rid, seen in self._observed.items() if before.get(rid) != seen}
        return Changes(changed, list(before.keys() - self._observed.keys()))

    def publish(self) -> None:
        """Send the addresses that differ from those that were sent last."""
        self._send_addresses(self._sent)

    def _send_addresses(self, sent: Mapping[RevisionId, RevisionAddresses | None]) -> None:
        for addresses in tuple(self._verbs.changed_addresses(sent)):
            self._sent[addresses.revision] = addresses
            self._send({"addresses": addresses})

    def _send(self, message: Mapping[str, Any]) -> None:
        if not self._lines.send(message):
            _log.warning("a client of the agent does not read its answers; its connection is closed")


class _Numbered(msgspec.Struct):
    """As much of a request as its answer needs."""

    id: int | None = None


_NUMBERED = msgspec.json.Decoder(_Numbered)


def _decode(line: bytes) -> Request:
    try:
        return decode(line, _REQUESTS)
    except Unreadable as error:
        raise BadRequest(f"The request is not understood: {error}.") from None


def _id_of(line: bytes) -> int | None:
    with contextlib.suppress(Unreadable):
        return decode(line, _NUMBERED).id
    return None
