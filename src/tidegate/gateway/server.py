"""One gateway process: the handler under uvicorn (uvloop, httptools), on a socket that the supervisor keeps."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator

import uvicorn

from tidegate.data_directory import DataDirectory
from tidegate.gateway.control_link import ControlLink
from tidegate.gateway.handler import Handler
from tidegate.gateway.meter import Meter
from tidegate.gateway.proxy import Proxy
from tidegate.gateway.router import Router
from tidegate.settings import Settings


class Server(uvicorn.Server):
    """uvicorn's server, with the signals left to the process that owns it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(index: int, listener: socket.socket, settings: Settings, stop: asyncio.Event) -> None:
    """Answer on `listener` until `stop`; then take nothing new, answer what is held, and return."""
    data = DataDirectory(settings.server.data_dir)
    meter = Meter(index, os.getpid())
    router = Router(data.route_table(index), settings.gateway)
    link = ControlLink(
        data.planes_socket,
        router.follow,
        lambda: meter.report(router.table.version if router.table else "", router.loads()),
    )
    control = Proxy("The control plane", data.api_socket)
    registry = None if settings.registry.uri else Proxy("The model registry", data.registry_socket)
    handler = Handler(router, meter, settings.gateway, control, registry, link)
    server = Server(config(handler, settings))
    router.start()
    link.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_stop_when_asked(server, stop))
            await server.serve(sockets=[listener])
            stop.set()
    finally:
        await link.stop()
        await router.stop()
        await control.close()
        if registry is not None:
            await registry.close()


def config(handler: Handler, settings: Settings) -> uvicorn.Config:
    """uvicorn for a data plane: no access log, no lifespan, no websockets, nothing rewritten."""
    return uvicorn.Config(
        handler,
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.gateway.answer_within_seconds) + 1,
    )


async def _stop_when_asked(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True
