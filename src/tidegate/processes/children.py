"""The processes of a platform: they are started, reaped, restarted when they end, and ended in order."""

import collections
import logging
import signal
import time
from collections.abc import Iterable

from tidegate.core import restart_policy
from tidegate.core.errors import ConfigurationError
from tidegate.data_directory import DataDirectory
from tidegate.processes import reaper
from tidegate.processes.child_process import ChildProcess, ChildSpec
from tidegate.processes.signal_pipe import SignalPipe
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals that the signal pipe of `Children` must receive."""

_KILL_SECONDS = 5.0


class Children:
    """Keeps processes running from the first `step` until one returns False. This process must be a sub-reaper."""

    def __init__(self, specs: Iterable[ChildSpec], data: DataDirectory, signals: SignalPipe) -> None:
        self.failure: ConfigurationError | None = None
        self.stopping = False
        self._data = data
        self._signals = signals
        self._exits = reaper.ExitStatusFiles(data.exits)
        self._children: dict[str, ChildProcess] = {}  # in the order of starting
        self._settled = False
        self._ending: tuple[str, ...] = ()
        self._to_end: collections.deque[tuple[str, ...]] = collections.deque()
        self._deadline = 0.0
        for spec in specs:
            self.add(spec)

    def add(self, spec: ChildSpec) -> None:
        """Add a process. It starts at the next step, and ends before those that were added earlier."""
        self._children[spec.name] = ChildProcess(spec, self._data.run)

    def settle(self) -> None:
        """Note that the platform was ready. From now on no process that ends is a reason to give up."""
        self._settled = True

    @property
    def drain_seconds(self) -> float:
        """The most seconds that all processes together have for their end, before they are killed."""
        groups = restart_policy.ending_order(tuple(self._children))
        return sum(max(self._children[name].spec.drain_seconds for name in group) for group in groups)

    def stop(self) -> None:
        """Begin to end all processes in order. The following steps do it."""
        if not self.stopping:
            self.stopping = True
            self._to_end.extend(restart_policy.ending_order(tuple(self._children)))

    def step(self, within: float | None = None) -> bool:
        """Do what is due, and then wait for a signal or for the next due time, at most `within` seconds.

        Returns False once all processes have ended after `stop`. `failure` is set where a process was the reason.
        """
        now = time.monotonic()
        for pid, status in reaper.reap():
            self._reaped(pid, status, now)
        if not self.stopping:
            self._start_due(now)
        if self.stopping and not self._go_on_ending(now):
            return False
        for number in self._signals.wait(self._patience(now, within)):
            self._take_signal(number)
        return True

    def _start_due(self, now: float) -> None:
        for child in self._children.values():
            if not self.stopping and child.due_at is not None and child.due_at <= now:
                try:
                    child.start(now)
                    logger.info("started a process", extra=fields(process=child.spec.name, pid=child.pid))
                except OSError as error:
                    self._died(child, f"could not be started: {error}", 1, now)

    def _reaped(self, pid: int, status: int, now: float) -> None:
        child = next((child for child in self._children.values() if child.pid == pid), None)
        if child is None:
            self._note(pid, status, now)
            return
        code = child.ended(status)
        words = f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
        if self.stopping:
            logger.info("a process %s", words, extra=fields(process=child.spec.name))
        elif child.spec.restarted:
            self._died(child, words, code, now)
        elif code:
            logger.warning("a process %s", words, extra=fields(process=child.spec.name))

    def _note(self, pid: int, status: int, now: float) -> None:
        try:
            self._exits.write(pid, status, now)
        except OSError:  # a full disk must not end the platform
            logger.warning("an orphan's exit status could not be noted", extra=fields(pid=pid), exc_info=True)

    def _died(self, child: ChildProcess, words: str, code: int, now: float) -> None:
        child.deaths = restart_policy.deaths_in_a_row(child.deaths, now - child.started_at)
        if not self._settled and restart_policy.is_hopeless(child.deaths, code):
            self.failure = ConfigurationError(
                f"Tidegate cannot start: its {child.spec.name} process {words}. The reason is in {child.spec.log}."
            )
            self.stop()
            return
        delay = restart_policy.restart_delay(child.deaths)
        child.due_at = now + delay
        logger.warning("a process %s; it is started again", words, extra=fields(process=child.spec.name, after=delay))

    def _go_on_ending(self, now: float) -> bool:
        """End one group after the other. Returns False once none is left."""
        while not any(self._children[name].pid for name in self._ending):
            if not self._to_end:
                return False
            self._ending = self._to_end.popleft()
            self._deadline = now + max(self._children[name].spec.drain_seconds for name in self._ending)
            self._signal(self._ending, signal.SIGTERM)
        if now >= self._deadline:
            logger.warning("killing what did not end in time", extra=fields(processes=", ".join(self._ending)))
            self._deadline = now + _KILL_SECONDS
            self._signal(self._ending, signal.SIGKILL)
        return True

    def _take_signal(self, number: int) -> None:
        if number == signal.SIGINT and self.stopping:  # a second Ctrl-C ends everything at once
            self._signal(self._children, signal.SIGKILL)
        elif number != signal.SIGCHLD:
            self.stop()

    def _signal(self, names: Iterable[str], number: signal.Signals) -> None:
        for name in names:
            self._children[name].signal(number)

    def _patience(self, now: float, within: float | None) -> float | None:
        """The seconds until the next due time; None where there is none."""
        moments = [child.due_at for child in self._children.values() if child.due_at is not None]
        due = [self._deadline] if self.stopping else moments
        waits = [max(0.0, moment - now) for moment in due] + ([] if within is None else [within])
        return min(waits, default=None)
