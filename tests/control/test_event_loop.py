"""The event loop of control never waits for the disk: file work is done in threads."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

import tidegate
from tests.control.house import House
from tests.control.test_housekeeping import keeper, make

SOURCE = os.path.dirname(tidegate.__file__)  # noqa: PTH120 - compared with names of code
FILE_WORK = {
    "open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.listdir", "os.scandir", "os.utime", "os.link",
    "os.symlink", "os.chmod", "os.truncate", "shutil.rmtree", "shutil.copytree", "shutil.copyfile",
}  # fmt: skip


class Watch:
    """What file work was done on the event loop's thread, and by which function of ours."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.thread: int | None = None  # None: nobody looks

    def hook(self, event: str, _: tuple[object, ...]) -> None:
        if self.thread == threading.get_ident() and event in FILE_WORK:
            ours = _ours(sys._getframe(1))
            if ours is not None:
                self.found.add(f"{event} in {ours}")


def _ours(frame: FrameType | None) -> str | None:
    """The function that asks for it: the first that is not Python's; None where that is not ours either."""
    python = os.path.dirname(os.__file__)  # noqa: PTH120
    while frame is not None and frame.f_code.co_filename.startswith((python, "<frozen")):
        frame = frame.f_back
    if frame is None or not frame.f_code.co_filename.startswith(SOURCE):
        return None
    return f"{frame.f_code.co_filename.removeprefix(SOURCE)}:{frame.f_code.co_qualname}"


WATCH = Watch()
sys.addaudithook(WATCH.hook)


@pytest.fixture
def watched() -> Iterator[Watch]:
    WATCH.found.clear()
    WATCH.thread = threading.get_ident()
    yield WATCH
    WATCH.thread = None


async def test_an_endpoints_life_does_no_file_work_on_the_event_loop(house: House, watched: Watch) -> None:
    await house.create()
    await house.settle()
    await house.update("2")
    await house.settle()
    await house.endpoints.logs("wine", "wine-2")
    await house.endpoints.build_logs("wine", "wine-2")
    await house.endpoints.rollback("wine")
    await house.settle()
    old = make(house.data.envs / "unused", 8, house)
    await keeper(house).sweep()
    assert not old.exists()
    await house.control.recorder.run_once()
    await house.metrics.endpoint("wine")
    await house.endpoints.delete("wine")
    await house.passes(5)
    assert watched.found == set()


async def test_the_watch_sees_what_it_is_to_see(tmp_path: Path, watched: Watch) -> None:
    from tidegate.control.endpoints.log_tail import tail

    tail(tmp_path / "log")
    assert watched.found == {"open in /control/endpoints/log_tail.py:tail"}
