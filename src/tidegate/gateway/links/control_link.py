"""The connection to control: route tables come down, load reports go up. Scoring goes on without it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate.core.planes.load_report import LoadReport
from tidegate.core.planes.route_table import RouteTable

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.1
REPORT_SECONDS = 1.0
MAX_LINE_BYTES = 64 * 1024 * 1024


class ControlLink:
    """Follows control's route tables and reports to it once a second, and at once when asked."""

    def __init__(
        self, socket: Path, on_table: Callable[[RouteTable], None], make_report: Callable[[], LoadReport]
    ) -> None:
        self._socket, self._on_table, self._make_report = socket, on_table, make_report
        self._decoder = msgspec.json.Decoder(RouteTable)
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Let go of control."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def report_now(self) -> None:
        """Do not wait for the next second."""
        self._due.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
                await self._follow()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._socket, limit=MAX_LINE_BYTES)
        reports = asyncio.create_task(self._report(writer))
        try:
            while line := await reader.readline():
                self._on_table(self._decoder.decode(line))
                self.connected = True
                self._due.set()
        finally:
            self.connected = False
            reports.cancel()
            await asyncio.gather(reports, return_exceptions=True)
            writer.close()

    async def _report(self, writer: asyncio.StreamWriter) -> None:
        sent: LoadReport | None = None
        while True:
            self._due.clear()
            report = self._make_report()
            writer.write(msgspec.json.encode(report if sent is None else report.since(sent)) + b"\n")
            sent = report
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), REPORT_SECONDS)
