"""The result of a fork trial: a forked replica loads the model, answers its example, compares the answer, and ends."""

import asyncio
import contextlib
import os
import signal

import msgspec

_MAX_BYTES = 1024 * 1024
# The trial's own alarm comes before this, and logs where the model hung.
_SLACK_SECONDS = 2.0


class TrialStatus(msgspec.Struct, frozen=True):
    """The line that a trial writes to its status pipe."""

    state: str
    message: str = ""


async def verdict(pid: int, pidfd: int, status: int, limit: float) -> str:
    """Why replicas cannot be forked, or an empty string when they can.

    `limit` is the trial's time limit in seconds; a trial that takes 2 s longer is ended.
    """
    try:
        async with asyncio.timeout(limit + _SLACK_SECONDS):
            line = await _line(status)
    except TimeoutError:
        return f"In a fork, it did not answer its example within {limit:g} s."
    finally:
        _end(pid, pidfd)
    try:
        result = msgspec.json.decode(line, type=TrialStatus)
    except msgspec.DecodeError:  # it has ended without a report
        return f"In a fork, it ended before it had answered its example, or took longer than {limit:g} s; see the log."
    return "" if result.state == "passed" else f"In a fork: {result.message}"


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
    """End the trial with the processes that it has started."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
