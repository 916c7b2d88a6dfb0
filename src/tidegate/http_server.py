"""uvicorn as the platform runs it: told to stop by its owner, not by signals."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence

import uvicorn

from tidegate import event_streams
from tidegate.event_streams import EventStreams


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    config: uvicorn.Config,
    stop: asyncio.Event,
    sockets: Sequence[socket.socket] | None = None,
    streams: EventStreams | None = None,
) -> None:
    """Serve until `stop` is set; then take nothing new, end all event streams, answer what is held, and return.

    The application's event streams are found by their content type. One that keeps `streams` itself hands them over.
    """
    if streams is None:
        streams = EventStreams()
        config.app = event_streams.ending(config.app, streams)  # type: ignore[arg-type]
    server = _Server(config)
    stopping = asyncio.create_task(_tell(server, stop, streams))
    try:
        await server.serve(sockets=list(sockets) if sockets else None)
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)


async def _tell(server: uvicorn.Server, stop: asyncio.Event, streams: EventStreams) -> None:
    await stop.wait()
    server.should_exit = True
    streams.end()
