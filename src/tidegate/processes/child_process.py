"""One process that the supervisor keeps running."""

import contextlib
import enum
import logging
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.processes import pid_files
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

_STANDARD_ERROR = 2


class Output(enum.Enum):
    """The destination of a process's standard output and standard error."""

    STANDARD_ERROR = enum.auto()  # both to the supervisor's standard error; the process writes its log itself
    LOG = enum.auto()  # both to its log file
    TERMINAL = enum.auto()  # each to the supervisor's own, for the user to read


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a process is started and ended. `log` is the file with its messages."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    pass_fds: tuple[int, ...] = ()
    output: Output = Output.STANDARD_ERROR
    restarted: bool = True  # started again when it ends
    drain_seconds: float = 10.0  # from SIGTERM to SIGKILL


class ChildProcess:
    """A spec and, while it runs, its process. Times are monotonic seconds. The owner reaps it and calls `ended`."""

    def __init__(self, spec: ChildSpec, run: Path) -> None:
        self.spec = spec
        self.deaths = 0  # in a row
        self.started_at = 0.0
        self.due_at: float | None = 0.0  # when it is to be started; None while it runs, or if it never is again
        self._process: subprocess.Popen[bytes] | None = None
        self._pid_file = run / f"{spec.name.replace(' ', '-')}{pid_files.SUFFIX}"

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self._process.pid if self._process else None

    def start(self, now: float) -> None:
        """Start it. Raises OSError."""
        self.started_at, self.due_at = now, None
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(self.spec.log.open("ab")) if self.spec.output is Output.LOG else None
            self._process = subprocess.Popen(
                self.spec.argv,
                env=self.spec.env,
                stdin=subprocess.DEVNULL,
                stdout=_STANDARD_ERROR if self.spec.output is Output.STANDARD_ERROR else log,
                stderr=log,
                pass_fds=self.spec.pass_fds,
                start_new_session=True,  # a terminal sends Ctrl-C to the supervisor only, which ends the others
            )
        try:
            pid_files.write(self._pid_file, self._process.pid)
        except OSError:  # a full disk must not keep a process from running
            logger.warning("a pid file could not be written", extra=fields(file=self._pid_file), exc_info=True)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, if it runs. Its pid is its own until the owner has reaped it."""
        if self._process:
            os.kill(self._process.pid, number)

    def ended(self, status: int) -> int:
        """Note that the process was reaped with this wait status. Returns its exit code, negative for a signal."""
        assert self._process
        code = self._process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
        self._process = None
        self._pid_file.unlink(missing_ok=True)
        return code
