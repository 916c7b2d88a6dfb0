"""An event stream (`text/event-stream`, WHATWG HTML 9.2) that sends what has changed, once a second."""

import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import StreamingResponse

from tidegate.core.errors import TidegateError
from tidegate.dashboard.live.ticker import Ticker

logger = logging.getLogger(__name__)

HEARTBEAT_TICKS = 15
Compose = Callable[[int], Awaitable[bytes]]
"""The message of a tick; empty where there is nothing to say. Several streams may share its work by the tick."""


# A pair of backslashes, or a character that turns the direction of text, as JSON in ASCII has them.
_TURN = re.compile(r"(\\\\)|\\(u202[a-e]|u206[6-9])")


def event(name: str, data: Any) -> bytes:
    """One event with JSON as its data. Its texts are as harmless as those of templates (`site.harmless`)."""
    text = _TURN.sub(lambda found: found[0] if found[1] else f"\\\\{found[2]}", json.dumps(data, separators=(",", ":")))
    return b"event: %b\ndata: %b\n\n" % (name.encode(), text.encode())


def changed(values: Mapping[str, str], sent: dict[str, str]) -> bytes:
    """The event of all values that differ from those sent, which is brought up to date. Empty where none does."""
    news = {key: value for key, value in values.items() if sent.get(key) != value}
    sent.update(news)
    return event("values", news) if news else b""


def stream(ticker: Ticker, compose: Compose) -> StreamingResponse:
    """The stream of a page. It ends when its reader leaves. While the store is away, say, it is silent and goes on."""

    async def composed() -> bytes:
        tick = await ticker.wait()
        try:
            return await compose(tick)
        except TidegateError as error:
            logger.debug("a stream has nothing to say: %s", error.message)
            return b""

    async def messages() -> AsyncIterator[bytes]:
        quiet = 0
        yield b"retry: 1000\n\n"
        while True:
            message = await composed()
            quiet = 0 if message else quiet + 1
            if message:
                yield message
            elif quiet % HEARTBEAT_TICKS == 0:
                yield b": alive\n\n"

    headers = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
    return StreamingResponse(messages(), media_type="text/event-stream", headers=headers)
