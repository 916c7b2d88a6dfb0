"""A dashboard in a thread of its own, for a browser that is driven from the test's thread."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tests.dashboard.web_house import WebHouse, a_web_house

T = TypeVar("T")


class HouseInThread:
    """`web` is the dashboard; `run` carries something out in its loop."""

    def __init__(self, web: WebHouse, loop: asyncio.AbstractEventLoop) -> None:
        self.web, self._loop = web, loop

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.web.url

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that runs beside the dashboard."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)


@contextlib.contextmanager
def house_in_thread(folder: Path, rates: Mapping[str, float]) -> Iterator[HouseInThread]:
    """A dashboard that is up, with a tick of a fifth of a second."""
    up, down = threading.Event(), asyncio.Event()
    found: list[HouseInThread] = []

    async def serve() -> None:
        async with a_web_house(folder, rates, tick_seconds=0.2) as web:
            found.append(HouseInThread(web, asyncio.get_running_loop()))
            up.set()
            await down.wait()

    thread = threading.Thread(target=_running(serve))
    thread.start()
    try:
        assert up.wait(30), "the dashboard does not come up"
        yield found[0]
    finally:
        if found:
            found[0]._loop.call_soon_threadsafe(down.set)
        thread.join(30)


def _running(serve: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    return lambda: asyncio.run(serve())
