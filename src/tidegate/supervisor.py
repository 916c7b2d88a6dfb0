"""The supervisor, `tidegate up`: it starts the platform's processes, restarts those that end, and ends all in order.

An error here ends the whole platform. So it decides little, imports little, and has no event loop and no thread: it
waits for signals and does one step after another.
"""

import contextlib
import dataclasses
import http.client
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from setproctitle import setproctitle

from tidegate import admin_token, telemetry
from tidegate.adapters.environments import worker_source
from tidegate.adapters.mlflow import embedded_registry
from tidegate.atomic_write import write_atomically
from tidegate.data_directory import DataDirectory
from tidegate.processes import listeners, pid_files, reaper
from tidegate.processes.child_process import ChildSpec, Output
from tidegate.processes.children import SIGNALS, Children
from tidegate.processes.claim import claim
from tidegate.processes.signal_pipe import SignalPipe
from tidegate.settings import Settings
from tidegate.settings_loading import SETTINGS_VARIABLE, to_json

logger = logging.getLogger(__name__)

Specs = Callable[[Settings, Sequence[socket.socket], int], Sequence[ChildSpec]]

_POLL_SECONDS = 0.1
_ANSWER_WITHIN_SECONDS = 1.0  # a connection that no gateway accepts yet waits in the socket's queue


def specs(settings: Settings, sockets: Sequence[socket.socket], life_line: int) -> list[ChildSpec]:
    """The platform's processes in the order of their starts. `life_line` is the read end of the supervisor's pipe."""
    data = DataDirectory(settings.server.data_dir)
    common = ("--life-line", str(life_line))
    # Arguments are visible to all users, and a store's URI may contain a password. Variables are not visible.
    environ = _environ() | {SETTINGS_VARIABLE: json.dumps(to_json(settings))}

    def role(name: str, drain_seconds: float = 10.0, listener: socket.socket | None = None) -> ChildSpec:
        role, _, index = name.partition(" ")
        place = ("--index", index, "--socket", str(listener.fileno())) if listener else ()
        return ChildSpec(
            name=name,
            argv=_module("tidegate.app", role, *common, *place),
            env=environ,
            log=data.logs / f"{name.replace(' ', '-')}.log",
            pass_fds=(life_line, listener.fileno()) if listener else (life_line,),
            drain_seconds=drain_seconds,
        )

    return [
        *([] if settings.registry.uri else [_registry(data, life_line, settings.registry.roots)]),
        role("control"),
        role("agent", settings.engine.drain_timeout_seconds + 5),
        *(
            role(f"gateway {index}", settings.gateway.answer_within_seconds + 5, listener)
            for index, listener in enumerate(sockets)
        ),
    ]


def _registry(data: DataDirectory, life_line: int, artifact_roots: tuple[str, ...]) -> ChildSpec:
    return ChildSpec(
        name="registry",
        argv=tuple(embedded_registry.command(data, life_line, artifact_roots)),
        env=embedded_registry.environment(data, os.environ),
        log=data.logs / "registry.log",
        pass_fds=(life_line,),
        output=Output.LOG,
    )


def run(settings: Settings, sample: bool, specs: Specs = specs) -> int:
    """Run the platform until SIGTERM, SIGINT or SIGHUP, and return the exit status.

    Raises ConfigurationError when the data directory or the port cannot be used, or when a process keeps ending before
    the platform is ready.
    """
    setproctitle("tidegate: supervisor")
    os.umask(0o077)  # only this user may read what the platform writes, such as models' secrets
    data = DataDirectory(settings.server.data_dir.expanduser().absolute())
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(SignalPipe(SIGNALS))
        if not data.root.exists():  # else a process of an earlier run may hold the port
            _check_port(settings)
        stack.enter_context(claim(data))
        telemetry.configure_logs("supervisor", data.logs, settings.log, settings.housekeeping)
        pid_files.end_left_overs(data.run)
        if renewed := worker_source.renew(data.overlays):
            logger.info("overlays have this version's worker now", extra=telemetry.fields(overlays=renewed))
        admin_token.ensure(data.admin_token)
        sockets = listeners.listen(settings.server.host, settings.server.port, settings.server.gateways)
        for listener in sockets:
            stack.callback(listener.close)
        stack.callback(data.server_file.unlink, missing_ok=True)
        server = dataclasses.replace(settings.server, data_dir=data.root, port=sockets[0].getsockname()[1])
        settings = dataclasses.replace(settings, server=server)
        reaper.become_subreaper()
        stack.callback(reaper.end_descendants)
        children = Children(specs(settings, sockets, _life_line(stack)), data, signals)
        _supervise(children, settings, sockets, sample)
    if children.failure:
        raise children.failure
    return 0


def _check_port(settings: Settings) -> None:
    """Raise ConfigurationError if the port is in use, before any file is created."""
    for listener in listeners.listen(settings.server.host, settings.server.port, 1):
        listener.close()


def _life_line(stack: contextlib.ExitStack) -> int:
    """The read end of the life line, whose write end is open in this process only."""
    ends = os.pipe()
    for end in ends:
        stack.callback(os.close, end)
    return ends[0]


def _supervise(children: Children, settings: Settings, sockets: Sequence[socket.socket], sample: bool) -> None:
    host, port = listeners.reachable(sockets[0])
    with _progress() as show:
        while children.step(_POLL_SECONDS) and not children.stopping and (missing := _waiting_for(host, port)):
            show(missing)
    if not children.stopping:
        children.settle()
        _announce(settings, listeners.url(host, port))
        if sample:
            children.add(_sample(settings, listeners.url(host, port)))
    while not children.stopping:
        children.step()
    if not children.failure:
        _print(
            "Stopping: requests under way are answered first. "
            f"All processes end within {children.drain_seconds:g} s; a second Ctrl-C ends them at once."
        )
    # A refused connection is better than one that waits in the queue of a socket which no gateway will accept from.
    for listener in sockets:
        listener.close()
    while children.step():
        pass


def _waiting_for(host: str, port: int) -> str:
    """A sentence on what the platform waits for before it is ready; empty once it is ready."""
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_WITHIN_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return "" if answer.status == http.HTTPStatus.OK else str(json.loads(answer.read(65536))["message"])
    except (OSError, http.client.HTTPException):
        return "The gateway is starting."
    except (ValueError, KeyError, TypeError):
        return "The platform is starting."
    finally:
        connection.close()


def _announce(settings: Settings, url: str) -> None:
    """Write the file that the command line reads, and tell the user that requests are accepted, and what is where."""
    data, public = DataDirectory(settings.server.data_dir), settings.server.public.absolute()
    try:
        write_atomically(data.server_file, json.dumps({"url": url, "public_url": public, "pid": os.getpid()}))
    except OSError:
        logger.warning("the command line needs --url: a file could not be written", exc_info=True)
    logger.info("ready", extra=telemetry.fields(url=url))
    _print(f"ready {listeners.url(settings.server.host, settings.server.port)}")
    if public:
        _print(f"Callers reach it at {public}")
    _print(f"Dashboard: {public or url}/ (log in with the content of {data.admin_token})")
    if not settings.registry.uri:
        _print(f"MLflow's pages: {public or url}/mlflow (user: token; password: the content of {data.admin_token})")
    _print(f"Logs: {data.logs}")


def _print(line: str) -> None:
    with contextlib.suppress(OSError):  # the reader of standard output may have ended
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows on a terminal what the start waits for. On a pipe it shows nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Console(stderr=True).status("Starting Tidegate …") as status:
        yield lambda words: status.update(f"Starting Tidegate … {words}")


def _sample(settings: Settings, url: str) -> ChildSpec:
    data = DataDirectory(settings.server.data_dir)
    return ChildSpec(
        name="sample",
        argv=_module("tidegate.cli.sample", "--url", url, "--data-dir", str(data.root)),
        env=_environ(),
        log=data.logs / "supervisor.log",
        output=Output.TERMINAL,
        restarted=False,
    )


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    # -P: modules in the user's working directory must not be imported.
    return (sys.executable, "-P", "-m", name, *arguments)


def _environ() -> dict[str, str]:
    # Without bytecode every import takes two to three times as long.
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
