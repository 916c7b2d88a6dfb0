"""The log of a preparation: in order, whole, and never in the event loop's way."""

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tidegate.control.reconcile.build_log import BuildLog

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def writer() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as writer:
        yield writer


async def test_entries_are_written_in_their_order(tmp_path: Path, writer: ThreadPoolExecutor) -> None:
    log = BuildLog(tmp_path / "new" / "log", FakeClock(), writer)
    await log.written()
    for number in range(100):
        log(f"line {number}")
    await log.written()
    lines = (tmp_path / "new" / "log").read_text().splitlines()
    assert [re.sub(f"^{STAMP} line ", "", line) for line in lines] == [str(number) for number in range(100)]


async def test_a_disk_that_stalls_holds_up_nobody(
    tmp_path: Path, writer: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, write = threading.Event(), Path.open

    def stalled(path: Path, *arguments: str, **options: str) -> object:
        assert released.wait(10)
        return write(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", stalled)
    log = BuildLog(tmp_path / "log", FakeClock(), writer)
    log("first")
    waiting = asyncio.create_task(log.written())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    released.set()
    await waiting
    assert "first" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028"])
async def test_a_text_with_line_ends_is_one_entry(tmp_path: Path, writer: ThreadPoolExecutor, end: str) -> None:
    log = BuildLog(tmp_path / "log", FakeClock(), writer)
    log(f"model a{end}2026-01-01T00:00:00Z Prepared., version 1")
    await log.written()
    first, second = (tmp_path / "log").read_text().splitlines()
    assert re.fullmatch(f"{STAMP} model a", first)
    assert second == "    2026-01-01T00:00:00Z Prepared., version 1"


async def test_no_control_character_reaches_a_terminal(tmp_path: Path, writer: ThreadPoolExecutor) -> None:
    log = BuildLog(tmp_path / "log", FakeClock(), writer)
    log("downloading \x1b[2Ja\x07\x85b")
    await log.written()
    text = (tmp_path / "log").read_text()
    assert "\\x1b[2Ja\\x07" in text
    assert text.replace("\n", "").isprintable()
