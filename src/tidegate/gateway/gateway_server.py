"""One gateway process: the handler under uvicorn (uvloop, httptools), on a socket that the supervisor keeps."""

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import replace

import uvicorn

from tidegate import http_server
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.planes.published import Published
from tidegate.core.planes.route_table import RouteTable
from tidegate.data_directory import DataDirectory
from tidegate.event_streams import EventStreams
from tidegate.gateway.http.asgi import Handler
from tidegate.gateway.http.client_connection import Connection
from tidegate.gateway.http.proxy import REGISTRY_POLICY, Proxy
from tidegate.gateway.http.turns import StreamCount, Turns
from tidegate.gateway.links.control_link import ControlLink
from tidegate.gateway.links.note_socket import NoteSocket
from tidegate.gateway.metering.ledger import Ledger, left_by_others
from tidegate.gateway.metering.meter import Meter
from tidegate.gateway.queue.router import Router
from tidegate.gateway.replay.recordings import Recordings
from tidegate.gateway.replay.replays import Replays
from tidegate.gateway.scoring.scoring_path import Scoring
from tidegate.gateway.scoring.token_check import TokenCheck
from tidegate.settings import Settings
from tidegate.web_assets import WebAssets


async def serve(index: int, listener: socket.socket, settings: Settings, stop: asyncio.Event) -> None:
    """Answer on `listener` until `stop`; then take nothing new, answer what is held, and return."""
    data = DataDirectory(settings.server.data_dir)
    path = data.ledger(index)
    # The first gateway reports for those that are not started any more.
    others = list(left_by_others(path, settings.server.gateways)) if index == 0 else []
    meter = Meter(index, os.getpid(), Ledger(path), others)
    router = Router(data.route_table(index), settings.gateway, only_gateway=settings.server.gateways == 1)
    recordings = Recordings(settings.gate)
    replays = Replays(router, recordings, lambda: link.report_now())

    def follow(published: Published) -> None:
        if published.access is not None:
            tokens.follow(published.access)
        if published.routes is not None:
            follow_routes(published.routes)

    def follow_routes(table: RouteTable) -> None:
        news = router.table is None or table.version != router.table.version
        router.follow(table)
        meter.follow(table)
        try:
            replays.follow(table)
        finally:
            if news:
                scoring.held.release()

    def reports(*, whole: bool) -> Iterator[LoadReport]:
        for accounts in meter.parts() if whole else ():
            yield LoadReport(index, os.getpid(), "", accounts=accounts, more=True)
        version = router.table.version if router.table else ""
        access = tokens.table.version if tokens.table else ""
        made = meter.end(version, router.loads(), {}) if whole else meter.report(version, router.loads(), whole=False)
        yield replace(made, findings=replays.findings, access_version=access)

    link = ControlLink(data.planes_socket, follow, reports)
    notes = NoteSocket(data.note_socket(index), meter.noted)
    router.on_wait = link.report_now
    streams, count = EventStreams(), StreamCount(settings.server.max_streams)
    control = Proxy("The control plane", data.api_socket, streams, Turns(count))
    registry = (
        None
        if settings.registry.uri
        else Proxy("The model registry", data.registry_socket, streams, Turns(count), REGISTRY_POLICY)
    )
    tokens = TokenCheck(data.access_table(index), settings.server.public.origin)
    scoring = Scoring(router, meter, settings.gateway, recordings, tokens, settings.server.public)
    handler = Handler(scoring, control, registry, link, WebAssets.load())
    handler.start()
    tokens.start()
    router.start()
    link.start()
    await notes.start()
    try:
        await http_server.serve(config(handler, settings), stop, [listener], streams)
    finally:
        await notes.stop()
        await link.stop()
        await replays.stop()
        await router.stop()
        await handler.stop()
        await control.close()
        if registry is not None:
            await registry.close()


def config(handler: Handler, settings: Settings) -> uvicorn.Config:
    """uvicorn for a data plane: no access log, no lifespan, no websockets, nothing rewritten."""
    return uvicorn.Config(
        handler,
        interface="asgi3",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.gateway.answer_within_seconds) + 1,
    )
