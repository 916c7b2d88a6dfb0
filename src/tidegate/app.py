"""The composition root: settings → adapters → planes → servers. The only place that knows which implementation serves.

`python -m tidegate.app ROLE --life-line FD [--index N --socket FD]`, with the settings in TIDEGATE_SETTINGS, is how the
supervisor starts each process; a person uses `tidegate up`. Imports are inside the roles, so that no process carries
another one's weight.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from setproctitle import setproctitle

from tidegate import http, http_server, life_line, private_socket, settings_loading, telemetry
from tidegate.core import restart_policy
from tidegate.core.access.principal import ADMIN
from tidegate.core.endpoint.gate_policy import GateMode, GatePolicy
from tidegate.core.errors import ConfigurationError
from tidegate.core.rollout.gate import GateDefaults
from tidegate.data_directory import DataDirectory
from tidegate.settings import GateSettings, Settings

if TYPE_CHECKING:
    import uvicorn

logger = logging.getLogger(__name__)

# Many systems let a process have 1,024 files open, unless it asks for more.
_OPEN_FILES = 65_536

Role = Callable[[Settings, argparse.Namespace], Awaitable[None]]


async def gateway(chosen: Settings, arguments: argparse.Namespace) -> None:
    """The data plane: the public port."""
    from tidegate.gateway import gateway_server

    _open_many_files()
    listener = socket.socket(fileno=arguments.socket)
    _keep_what_is_loaded()
    await gateway_server.serve(arguments.index, listener, chosen, _until_told(arguments.life_line))


def _keep_what_is_loaded() -> None:
    """Have the collector of garbage pass over all that was imported: it held control's loop up for 80 ms at a time."""
    gc.collect()
    gc.freeze()


async def agent(chosen: Settings, arguments: argparse.Namespace) -> None:
    """The engine's hands on this machine."""
    from tidegate.engines.agent import agent_process

    data = DataDirectory(chosen.server.data_dir)
    await agent_process.run(data, chosen.engine, chosen.housekeeping, os.environ, arguments.life_line)


async def control(chosen: Settings, arguments: argparse.Namespace) -> None:
    """The control plane: REST API, reconciler, builds."""
    _open_many_files()
    stop = _until_told(arguments.life_line)
    async with contextlib.AsyncExitStack() as stack:
        config = await _control_plane(chosen, stack)
        _keep_what_is_loaded()
        await http_server.serve(config, stop)


async def _control_plane(chosen: Settings, stack: contextlib.AsyncExitStack) -> "uvicorn.Config":
    """Everything of control, started; what is returned serves its REST API."""
    import uvicorn

    from tidegate.adapters.clock import SystemClock
    from tidegate.adapters.environments.uv_environments import UvEnvironments
    from tidegate.adapters.mlflow.artifact_locations import shown
    from tidegate.adapters.mlflow.registry import MlflowRegistry
    from tidegate.adapters.series.sql_series import SqlSeries
    from tidegate.adapters.store.sql_store import SqlStore
    from tidegate.api.rest_api import create_app
    from tidegate.control.cycle import Control, ControlPorts, ControlSettings
    from tidegate.control.reconcile.world import Defaults
    from tidegate.dashboard.site import Site, Sources
    from tidegate.dashboard.web_app import create_web_app, faces
    from tidegate.engines.agent.local_engine import LocalEngine
    from tidegate.web_assets import WebAssets

    data, clock = DataDirectory(chosen.server.data_dir), SystemClock()
    token = data.admin_token.read_text().strip()
    store = await SqlStore.open(chosen.store.uri or f"sqlite:///{data.database}")
    stack.push_async_callback(store.close)
    in_file = not chosen.store.uri or chosen.store.uri.startswith("sqlite")
    kept = SqlSeries.in_file(data.series) if in_file else SqlSeries.in_database(chosen.store.uri)
    stack.push_async_callback(kept.close)
    registry = MlflowRegistry(*_registry(chosen, data, token))
    stack.push_async_callback(registry.close)
    engine = LocalEngine(data.agent_socket)
    stack.push_async_callback(engine.close)
    environments = UvEnvironments(data, chosen.environments, store, os.environ)

    plane = Control(
        ControlPorts(store, registry, environments, engine, clock, kept),
        data,
        ControlSettings(
            registry=chosen.registry.uri or "embedded",
            registry_address=shown(chosen.registry.uri),
            cores=len(os.sched_getaffinity(0)),
            gateways=chosen.server.gateways,
            concurrent_builds=chosen.environments.concurrent_builds,
            build_timeout=chosen.environments.build_timeout_seconds,
            look_every=chosen.registry.look_every,
            agent=str(data.agent_socket),
            supervisor=os.getppid(),
            tokens={http.token_hash(token): ADMIN},
            defaults=Defaults(chosen.engine.memory_limits, _gate(chosen.gate)),
            rollouts=chosen.rollouts,
            housekeeping=chosen.housekeeping,
            series=chosen.series,
        ),
    )
    await plane.start()
    stack.push_async_callback(plane.stop)

    memory_limit = chosen.engine.memory_limits["CPU"]
    public = chosen.server.public
    verbs, series = (plane.endpoints, plane.enabled_models), plane.series
    api = create_app(*verbs, plane.metrics, plane.sessions, series, memory_limit, public)
    sources = Sources(
        *verbs, plane.sessions, series, plane.metrics, clock, plane.catalog, plane.slow_requests, plane.platform
    )
    web = create_web_app(Site(sources, WebAssets.load(), public, chosen.dashboard))
    private_socket.reserve(data.api_socket)
    return uvicorn.Config(
        faces(api, web),
        uds=str(data.api_socket),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
    )


def _gate(chosen: GateSettings) -> GateDefaults:
    """The gate where an endpoint says nothing else."""
    policy = GatePolicy(GateMode(chosen.mode), chosen.max_changed_share, chosen.record)
    return GateDefaults(policy, chosen.replay_ms / 1000)


def _registry(chosen: Settings, data: DataDirectory, token: str) -> tuple[str, str, tuple[str, ...]]:
    """URI and token of the registry, and where files of models may lie besides its own store.

    The embedded one is reached as users reach it, through the gateway.
    """
    if chosen.registry.uri:
        return chosen.registry.uri, "", chosen.registry.roots
    return f"{_local_url(chosen)}/mlflow", token, (str(data.mlflow_artifacts), *chosen.registry.roots)


def _local_url(chosen: Settings) -> str:
    """Where this machine reaches the platform."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(chosen.server.host, chosen.server.host)  # noqa: S104
    return f"http://[{host}]:{chosen.server.port}" if ":" in host else f"http://{host}:{chosen.server.port}"


def _open_many_files() -> None:
    """Let this process have many files open, where its limit is lower: each connection and each event stream is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _until_told(life_line_fd: int) -> asyncio.Event:
    """An event that SIGTERM and SIGINT set. Without its supervisor the process ends at once."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    life_line.watch(life_line_fd)
    return stop


ROLES: dict[str, Role] = {"gateway": gateway, "agent": agent, "control": control}


def main(argv: list[str]) -> int:
    """Run one process of the platform until SIGTERM; returns its exit status."""
    parser = argparse.ArgumentParser("tidegate.app")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--life-line", type=int, required=True)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--socket", type=int)
    arguments = parser.parse_args(argv)
    # Taken out: nothing that this process starts has any business with it.
    chosen = settings_loading.load({}, overrides=json.loads(os.environ.pop(settings_loading.SETTINGS_VARIABLE)))
    name = f"gateway {arguments.index}" if arguments.role == "gateway" else arguments.role
    setproctitle(f"tidegate: {name}")
    data = DataDirectory(chosen.server.data_dir)
    telemetry.configure_logs(name, data.logs, chosen.log, chosen.housekeeping)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(arguments.role)) as runner:
            logger.info("started", extra=telemetry.fields(pid=os.getpid()))
            runner.run(_run(arguments.role, chosen, arguments))
    except ConfigurationError as error:
        logger.error("%s", error.message)  # a sentence for a person; no traceback
        return restart_policy.MISCONFIGURED
    logger.info("ended")
    return 0


async def _run(role: str, chosen: Settings, arguments: argparse.Namespace) -> None:
    await ROLES[role](chosen, arguments)


def _loop_factory(role: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if role == "gateway":
        import uvloop

        loop_factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return loop_factory
    return asyncio.new_event_loop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
