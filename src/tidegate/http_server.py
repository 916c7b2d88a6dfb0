"""uvicorn as the platform runs it: told to stop by its owner, not by signals."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence

import uvicorn


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(config: uvicorn.Config, stop: asyncio.Event, sockets: Sequence[socket.socket] | None = None) -> None:
    """Serve until `stop` is set; then take nothing new, answer what is held, and return."""
    server = _Server(config)
    stopping = asyncio.create_task(_tell(server, stop))
    try:
        await server.serve(sockets=list(sockets) if sockets else None)
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)


async def _tell(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True
