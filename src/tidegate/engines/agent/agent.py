"""The agent of one machine: it runs the replicas that the applied targets ask for, with or without control.

Every event merely wakes the main loop. The loop compares the targets with the replicas that run (`schedule.decide`) and
acts on the difference. Replicas outlive their agent; the next agent finds them by their pid files.
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial

import msgspec

from tidegate.core.endpoint.machine_report import MachineReport
from tidegate.core.endpoint.revision import RevisionAddresses, RevisionId, RevisionObservation, RevisionTarget
from tidegate.core.errors import InvalidParameter, Unavailable
from tidegate.data_directory import DataDirectory
from tidegate.engines.agent.agent_server import AgentServer
from tidegate.engines.linux import replica_logs
from tidegate.engines.linux.machine import this_machine
from tidegate.engines.linux.process_usage import Sampler
from tidegate.engines.replicas import fleet_reports
from tidegate.engines.replicas.applied_targets import AppliedTargets
from tidegate.engines.replicas.fleet import Fleet
from tidegate.engines.replicas.held_revision import FORK
from tidegate.engines.replicas.replicas import Replicas
from tidegate.engines.scheduling.facts import Limits
from tidegate.engines.scheduling.schedule import Action, Drain, Evict, Forget, GiveUp, Kill, Outgrown, Start, Warm
from tidegate.engines.templates.templates import Templates, budget_bytes
from tidegate.settings import EngineSettings, HousekeepingSettings
from tidegate.supervised import attempted, supervised
from tidegate.telemetry import fields

_log = logging.getLogger(__name__)

_REVISION = re.compile(r"[A-Za-z0-9_-]{1,64}")  # an id is part of file names
_ROTATION_SECONDS = 60.0
# For this time after its start an agent spawns replicas and waits for no template: should the agent be restarted again
# and again, a spawned replica outlives it, and a template does not.
_SETTLING_SECONDS = 5.0
_RETRY_SECONDS = 1.0  # until an action that failed by a defect is tried again
_KILLED_SECONDS = 0.8  # for killed processes to end


class Agent:
    """Holds targets and runs their replicas. It needs a process of its own, as it reaps every child process."""

    def __init__(
        self,
        data: DataDirectory,
        settings: EngineSettings,
        housekeeping: HousekeepingSettings,
        environ: Mapping[str, str],
    ) -> None:
        self._machine = this_machine(environ, int(settings.memory_gb_total * 1e9))
        cores = self._machine.cores
        self._data = data
        self._housekeeping = housekeeping
        self._limits = Limits(
            cores=cores,
            concurrent_starts=settings.concurrent_starts or cores,
            start_timeout=settings.start_timeout_seconds,
            drain_timeout=settings.drain_timeout_seconds,
            memory_bytes=self._machine.memory_bytes,
        )
        budget, settled = budget_bytes(settings.template_memory_mb), time.monotonic() + _SETTLING_SECONDS
        self._templates = Templates(data, environ, budget, settled)
        self._fleet = Fleet(settings.max_backoff_seconds, self._templates)
        self._replicas = Replicas(data, settings, environ, self._fleet, self._templates)
        self._targets = AppliedTargets(data.targets)
        self._server = AgentServer(data.agent_socket, self)
        self._disk_lock = asyncio.Lock()  # so that the files of targets change in the order of their changes here
        self._changed = asyncio.Event()
        self._end_at: float | None = None  # monotonic seconds, by which the last process has ended

    async def run(self) -> None:
        """Run replicas until `end` is called and the last replica has ended."""
        async with asyncio.TaskGroup() as self._tasks:
            self._replicas.changed = self._changed.set
            self._replicas.save = self._save_soon
            self._replicas.tasks = self._tasks
            _log.info("this machine is shared by replicas", extra=fields(**asdict(self._machine)))
            loops = self._resume()
            await self._server.start()
            await supervised(self._run_schedule, "agent")
            await self._server.stop()
            self._templates.close()
            for loop in loops:
                loop.cancel()
        self._replicas.close()

    def end(self, grace: float) -> None:
        """Drain all replicas and end. A replica that still runs after `grace` seconds is killed.

        A further call may shorten the time.
        """
        self._limits = replace(self._limits, drain_timeout=grace)
        self._end_at = time.monotonic() + grace + _KILLED_SECONDS
        self._changed.set()

    # --- the verbs

    async def apply(self, target: RevisionTarget) -> None:
        """Hold this target from now on. It is on disk on return. Raises InvalidParameter or Unavailable."""
        if not _REVISION.fullmatch(target.revision):
            raise InvalidParameter("A revision's id is 1 to 64 letters, digits, dashes and underscores.")
        async with self._disk_lock:
            with _disk():
                await self._targets.save(self._fleet.applied(target))
            self._fleet.hold(self._fleet.applied(target))
        self._changed.set()

    async def remove(self, revision: RevisionId) -> None:
        """Drain a revision, then drop its target. An unknown revision is ignored. Raises Unavailable."""
        async with self._disk_lock:
            known = self._fleet.revisions.get(revision)
            if known is None:
                return
            applied = msgspec.structs.replace(known.applied, removing=True)
            with _disk():
                await self._targets.save(applied)
            self._fleet.hold(applied)
        self._changed.set()

    def observe(self) -> Mapping[RevisionId, RevisionObservation]:
        """All held revisions and their replicas."""
        return fleet_reports.observations(self._fleet)

    def machine(self) -> MachineReport:
        """Who has this machine's memory, and what would make room."""
        return fleet_reports.machine_report(self._fleet, self._templates, self._machine, time.monotonic())

    def wake(self, revision: RevisionId) -> None:
        """Hold at least one replica of a revision. Does not wait for the disk."""
        if self._fleet.wake(revision, time.monotonic()):
            self._save_soon(revision)
        self._changed.set()

    def used(self, revisions: Sequence[RevisionId]) -> None:
        """Note that gateways have requests for these revisions, so that they are not evicted."""
        self._fleet.used(revisions, time.monotonic())

    def changed_addresses(self, sent: Mapping[RevisionId, RevisionAddresses | None]) -> Iterable[RevisionAddresses]:
        """The addresses of watched revisions that differ from those that were `sent` last."""
        return fleet_reports.changed_addresses(self._fleet, sent)

    # --- the main loop

    def _resume(self) -> list[asyncio.Task[None]]:
        """Take over the last agent's targets and replicas, and start the loops beside the main loop."""
        for applied in self._targets.load().values():
            self._fleet.hold(applied)
        for known in self._fleet.revisions.values():
            if known.start_mode == FORK and not known.applied.removing:
                self._templates.expect(known.template, known.applied.target)
        sampler = Sampler(lambda: list(self._fleet.replicas.values()), self._measured)
        adopted = self._replicas.adopt()
        loops = {f"adopt {replica.facts.id}": partial(self._replicas.learn_state, replica) for replica in adopted} | {
            "rotate logs": self._rotate_logs,
            "make templates": self._templates.make,
            "try forks": self._replicas.fork_trials.run,
            "watch deadlines": self._replicas.watch_deadlines,
            "measure replicas": sampler.run,
        }
        return [self._tasks.create_task(supervised(run, name), name=name) for name, run in loops.items()]

    def _measured(self) -> None:
        self._fleet.measured(time.time())
        self._changed.set()

    async def _run_schedule(self) -> None:
        """Decide and act at every event, until the end is due."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            if self._end_at is not None and (self._fleet.empty or now >= self._end_at):
                return
            limits = replace(self._limits, templates_bytes=self._templates.memory_bytes)
            decision = self._fleet.decide(limits, now, ending=self._end_at is not None)
            self._fleet.note_capacity(decision.refused, now, time.time())
            if decision.template_bytes:
                self._templates.evict(decision.template_bytes)
            failed = [action for action in decision.actions if not self._carry_out(action)]
            self._server.publish()
            if len(failed) < len(decision.actions):
                self._changed.set()
            retry_at = now + _RETRY_SECONDS if failed else None
            times = [time for time in (decision.again_at, self._end_at, retry_at) if time is not None]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(times) - now if times else None):
                    await self._changed.wait()
            await asyncio.sleep(0)  # events of the same moment are decided on together

    def _carry_out(self, action: Action) -> bool:
        """Carry out an action and return True. A defect stops no other action: it returns False."""
        try:
            self._act(action)
        except Exception:
            _log.exception("an action failed by a defect; it is tried again", extra=fields(action=action))
            return False
        return True

    def _act(self, action: Action) -> None:
        match action:
            case Start(revision, fork):
                self._replicas.start(revision, fork=fork)
            case Warm(revision):
                known = self._fleet.revisions[revision]
                self._templates.want(known.template, known.applied.target, time.monotonic())
            case Drain(replica):
                self._replicas.drain(replica)
            case GiveUp(replica):
                self._replicas.give_up(replica)
            case Kill(replica):
                self._replicas.kill(replica)
            case Forget(revision):
                del self._fleet.revisions[revision]
                self._templates.retain({held.template for held in self._fleet.revisions.values()})
                self._save_soon(revision)
            case Evict(revision, room_for):
                self._fleet.evict(revision, room_for, time.monotonic(), time.time())
                _log.info("an idle revision is evicted", extra=fields(revision=revision, room_for=room_for))
            case Outgrown(replica, at_once):
                message = self._fleet.outgrown(replica, time.monotonic(), time.time())
                _log.warning(message)
                if at_once:
                    self._replicas.end_outgrown(replica, message)

    # --- the disk

    def _save_soon(self, revision: RevisionId) -> None:
        self._tasks.create_task(attempted(self._save(revision), f"save {revision}"))

    async def _save(self, revision: RevisionId) -> None:
        """Write the target of a revision to disk, or remove its file where the revision is no longer held."""
        async with self._disk_lock:
            known = self._fleet.revisions.get(revision)
            try:
                await (self._targets.save(known.applied) if known else self._targets.forget(revision))
            except OSError as error:
                _log.error("a target cannot be saved", extra=fields(revision=revision, error=error))

    async def _rotate_logs(self) -> None:
        folders = (self._data.replica_log("-").parent, self._data.template_log("-").parent)
        limit = int(self._housekeeping.log_file_mb * 1024 * 1024)
        while True:
            await asyncio.sleep(_ROTATION_SECONDS)
            try:
                for folder in folders:
                    await asyncio.to_thread(replica_logs.rotate, folder, limit, self._housekeeping.log_files)
            except OSError as error:
                _log.error("replicas' logs cannot be rotated", extra=fields(error=error))


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """Turn an OSError of the block into Unavailable."""
    try:
        yield
    except OSError as error:
        sentence = f"The agent cannot write the target to disk: {error.strerror}. Free some space, or see to the disk."
        raise Unavailable(sentence, retry_after=1) from None
