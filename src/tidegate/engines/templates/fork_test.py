"""The verdict of a trial: a forked replica that loads the model, answers its example, compares, and ends."""

import asyncio
import contextlib
import os
import signal

import msgspec

_MAX_BYTES = 1024 * 1024
# The trial's own alarm comes first: it leaves in the log where it hung.
_SLACK_SECONDS = 2.0


class Told(msgspec.Struct, frozen=True):
    """The line of a trial's status pipe."""

    state: str
    message: str = ""


async def verdict(pid: int, pidfd: int, status: int, limit: float) -> str:
    """Why replicas cannot be forked; empty when they can. Ends the trial when it takes longer than it may."""
    try:
        async with asyncio.timeout(limit + _SLACK_SECONDS):
            line = await _line(status)
    except TimeoutError:
        return f"In a fork, it did not answer its example within {limit:g} s."
    finally:
        _end(pid, pidfd)
    try:
        told = msgspec.json.decode(line, type=Told)
    except msgspec.DecodeError:  # it has ended without a word
        return f"In a fork, it ended before it had answered its example, or took longer than {limit:g} s; see the log."
    return "" if told.state == "passed" else f"In a fork: {told.message}"


async def _line(status: int) -> bytes:
    reader = asyncio.StreamReader(limit=_MAX_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    pipe = os.fdopen(os.dup(status), "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    try:
        return await reader.readline()
    finally:
        transport.close()


def _end(pid: int, pidfd: int) -> None:
    """End the trial with all that it has started, as a replica's end does."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
