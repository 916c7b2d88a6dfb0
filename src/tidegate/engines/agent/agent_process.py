"""The agent's process: its signals, its life line, and the lock by which a data directory has one agent only."""

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

from tidegate.core.errors import ConfigurationError
from tidegate.data_directory import DataDirectory
from tidegate.engines.agent.agent import Agent
from tidegate.processes.reaper import become_subreaper
from tidegate.settings import EngineSettings, HousekeepingSettings

_SUPERVISOR_GONE_SECONDS = 1.0  # for replicas to drain after the supervisor's death, which ends everything within 2 s


async def run(
    data: DataDirectory,
    settings: EngineSettings,
    housekeeping: HousekeepingSettings,
    environ: Mapping[str, str],
    life_line: int | None = None,
) -> None:
    """Run the agent of this machine, in a process of its own, until SIGTERM, SIGINT or the end of the life line.

    `life_line` is a pipe whose write end only the supervisor has. SIGTERM drains every replica. The end of the
    supervisor ends all replicas within 2 s. Raises ConfigurationError when another agent runs.
    """
    become_subreaper()
    agent = Agent(data, settings, housekeeping, environ)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.end, settings.drain_timeout_seconds)
    if life_line is not None:

        def supervisor_gone() -> None:
            loop.remove_reader(life_line)
            agent.end(_SUPERVISOR_GONE_SECONDS)

        loop.add_reader(life_line, supervisor_gone)
    with _only_agent(data.agent_socket.with_suffix(".lock")):
        await agent.run()


@contextlib.contextmanager
def _only_agent(file: Path) -> Iterator[None]:
    """Hold the lock by which a run directory has one agent only. The kernel releases it with the process.

    Raises ConfigurationError when another agent has it.
    """
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(f"Another agent holds {file}. End it first, or use another data directory.") from None
    else:
        yield
    finally:
        os.close(lock)
