"""The composition root: settings → adapters → planes → servers. The only place that knows which implementation serves.

`python -m tidegate.app ROLE --settings JSON --life-line FD [--index N --socket FD]` is how the supervisor starts each
process; a person uses `tidegate up`.
"""

import argparse
import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

from setproctitle import setproctitle

from tidegate import life_line, settings, telemetry
from tidegate.data_directory import DataDirectory
from tidegate.settings import Settings

logger = logging.getLogger(__name__)

Role = Callable[[Settings, argparse.Namespace, asyncio.Event], Awaitable[None]]


async def gateway(chosen: Settings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """The data plane: the public port."""
    from tidegate.gateway import server

    listener = socket.socket(fileno=arguments.socket)
    await server.serve(arguments.index, listener, chosen, stop)


async def agent(chosen: Settings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """The engine's hands on this machine."""
    raise NotImplementedError


async def control(chosen: Settings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """The control plane: REST API, reconciler, builds."""
    raise NotImplementedError


ROLES: dict[str, Role] = {"gateway": gateway, "agent": agent, "control": control}


def main(argv: list[str]) -> int:
    """Run one process of the platform until SIGTERM; returns its exit status."""
    parser = argparse.ArgumentParser("tidegate.app")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--life-line", type=int, required=True)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--socket", type=int)
    arguments = parser.parse_args(argv)
    chosen = settings.load({}, overrides=json.loads(arguments.settings))
    name = f"gateway {arguments.index}" if arguments.role == "gateway" else arguments.role
    setproctitle(f"tidegate: {name}")
    data = DataDirectory(chosen.server.data_dir)
    telemetry.configure_logs(name, data.logs, chosen.log, chosen.housekeeping)
    with asyncio.Runner(loop_factory=_loop_factory(arguments.role)) as runner:
        runner.run(_until_stopped(ROLES[arguments.role], chosen, arguments))
    return 0


async def _until_stopped(role: Role, chosen: Settings, arguments: argparse.Namespace) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    life_line.watch(arguments.life_line)
    logger.info("started")
    await role(chosen, arguments, stop)
    logger.info("ended")


def _loop_factory(role: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if role == "gateway":
        import uvloop

        loop_factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return loop_factory
    return asyncio.new_event_loop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
