"""The engine of one machine, for control: a client of the agent's socket."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tidegate.core import errors
from tidegate.core.endpoint.machine_report import MachineReport
from tidegate.core.endpoint.revision import RevisionId, RevisionObservation, RevisionTarget
from tidegate.engines.agent.agent_server import Changes
from tidegate.json_lines import JsonLines, Unreadable, connect, decode, encoded
from tidegate.ports import Engine

_MAX_LINE_BYTES = 64 * 1024 * 1024

_ERRORS = {error.code: error for error in (errors.BadRequest, errors.InvalidParameter, errors.Unavailable)}


class Answer(msgspec.Struct, frozen=True):
    """An answer of the agent."""

    id: int | None
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    code: str = ""
    message: str = ""


_ANSWERS = msgspec.json.Decoder(Answer)


class LocalEngine:
    """An engine over one connection to the agent. It connects at the first call, and again after a loss."""

    def __init__(self, agent_socket: Path, timeout_seconds: float = 5.0) -> None:
        self._path = agent_socket
        self._timeout = timeout_seconds
        self._turn = asyncio.Lock()
        self._connection: JsonLines | None = None
        self._last_id = 0
        self._seen: Mapping[RevisionId, RevisionObservation] = {}  # all observations that came on this connection

    async def apply(self, target: RevisionTarget) -> None:
        """Hold this target from now on. On return it is on the agent's disk. Raises Unavailable."""
        await self._call("apply", target=target)

    async def remove(self, revision: RevisionId) -> None:
        """Drain the revision and end it. Raises Unavailable."""
        await self._call("remove", revision=revision)

    async def observe(self) -> Mapping[RevisionId, RevisionObservation]:
        """All that the agent holds; the same object while nothing changes. Raises Unavailable."""
        # Nothing is awaited between the answer and the use of it, lest another call break the connection in between.
        changes = msgspec.json.decode(await self._call("observe", changes=True), type=Changes)
        if changes.changed or changes.gone:
            kept = {rid: seen for rid, seen in self._seen.items() if rid not in changes.gone}
            self._seen = kept | changes.changed
        return self._seen

    async def machine(self) -> MachineReport:
        """The account of the agent's machine. Raises Unavailable."""
        return msgspec.json.decode(await self._call("machine"), type=MachineReport)

    async def close(self) -> None:
        """Close the connection."""
        async with self._turn:
            await self._disconnect()

    async def _call(self, verb: Literal["apply", "remove", "observe", "machine"], **arguments: Any) -> msgspec.Raw:
        self._last_id += 1
        line = encoded({"id": self._last_id, "verb": verb, **arguments})
        async with self._turn:
            answer = await self._ask(line)
        if not answer.ok:
            raise _ERRORS.get(answer.code, errors.Internal)(answer.message)
        return answer.result

    async def _ask(self, line: bytes) -> Answer:
        try:
            async with asyncio.timeout(self._timeout):
                # An existing connection may belong to an agent that has ended. The call is then made once more on a
                # new one, as every verb is idempotent.
                if self._connection is not None and (answer := await self._try(line)):
                    return answer
                if answer := await self._try(line):
                    return answer
        except TimeoutError:
            pass
        raise errors.Unavailable("The agent does not answer; it is being started again.", retry_after=1)

    async def _try(self, line: bytes) -> Answer | None:
        try:
            if self._connection is None:
                self._connection = await connect(self._path, _MAX_LINE_BYTES)
            self._connection.send(line)
            await self._connection.drain()
            answer = await self._connection.line()
            if answer is not None:
                return decode(answer, _ANSWERS)
        except (OSError, Unreadable):
            pass
        except BaseException:  # cancelled or timed out: the next call would take this answer for its own
            await self._disconnect()
            raise
        await self._disconnect()
        return None

    async def _disconnect(self) -> None:
        self._seen = {}
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()
            with contextlib.suppress(OSError):
                await connection.wait_closed()


_: type[Engine] = LocalEngine
