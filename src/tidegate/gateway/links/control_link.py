"""The connection to control: route and access tables come down, load reports go up. Scoring goes on without it."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from tidegate.core.planes.load_report import LoadReport
from tidegate.core.planes.published import Published
from tidegate.gateway.links.process_link import ProcessLink
from tidegate.json_lines import JsonLines
from tidegate.supervised import supervised

REPORT_SECONDS = 1.0
MAX_LINE_BYTES = 64 * 1024 * 1024


class MakeReports(Protocol):
    """Makes a load report: one of what was touched since the last, or a whole one in several parts."""

    def __call__(self, *, whole: bool) -> Iterable[LoadReport]:
        """The parts, each made when it is asked for."""
        ...


class ControlLink(ProcessLink[Published]):
    """Follows control's tables, and sends it a load report every second and whenever `report_now` is called."""

    def __init__(self, socket: Path, on_table: Callable[[Published], None], make_reports: MakeReports) -> None:
        super().__init__("control", socket, Published, MAX_LINE_BYTES)
        self._on_table, self._make_reports = on_table, make_reports
        self._due = asyncio.Event()
        self._reports: asyncio.Task[None] | None = None
        self.connected = False

    def report_now(self) -> None:
        """Send the next report at once."""
        self._due.set()

    def _opened(self, lines: JsonLines) -> None:
        self._reports = asyncio.create_task(supervised(lambda: self._report(lines), "load reports"))

    def _take(self, message: Published) -> None:
        self._on_table(message)
        self.connected = self.connected or message.routes is not None
        self._due.set()

    async def _closed(self) -> None:
        self.connected = False
        if self._reports is not None:
            self._reports.cancel()
            await asyncio.gather(self._reports, return_exceptions=True)

    async def _report(self, lines: JsonLines) -> None:
        sent: LoadReport | None = None
        while True:
            self._due.clear()
            before = sent
            for report in self._make_reports(whole=before is None):
                lines.send(report if before is None else report.since(before))
                sent = report
                try:
                    await lines.drain()
                except OSError:
                    return  # the reader of the connection sees its end too
                await asyncio.sleep(0)  # requests are answered between the parts
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), REPORT_SECONDS)
