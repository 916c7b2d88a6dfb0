"""Starts, adopts, drains and kills the replicas of this machine, and reacts to what becomes of them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from tidegate.core.endpoint.revision import Proof, ReplicaId, ReplicaState, RevisionId
from tidegate.core.errors import Unavailable
from tidegate.data_directory import DataDirectory
from tidegate.engines.linux import replica_deadline, replica_logs
from tidegate.engines.linux.exit_statuses import ExitStatuses
from tidegate.engines.replicas.fleet import Fleet
from tidegate.engines.replicas.fork_trials import ForkTrials
from tidegate.engines.replicas.greeting import Foreign, NotListening, greet
from tidegate.engines.replicas.held_revision import SPAWN, HeldRevision
from tidegate.engines.replicas.launcher import Launcher, StartContext, new_id
from tidegate.engines.replicas.replica_process import Costs, ReplicaProcess, ServingMode
from tidegate.engines.replicas.replica_record import ReplicaRecords
from tidegate.engines.scheduling.facts import ReplicaFacts
from tidegate.engines.templates.template_process import NoFork, Template
from tidegate.engines.templates.templates import Templates
from tidegate.settings import EngineSettings
from tidegate.supervised import Defects, attempted
from tidegate.telemetry import fields

_log = logging.getLogger(__name__)

_DEFECT = "A defect of Tidegate prevented the fork (the agent's log has it)"
_GREETING_SECONDS = 0.1  # between two attempts to reach an adopted replica that is starting


class Replicas:
    """Acts on the replicas' processes, and keeps the fleet's state in step with them.

    `changed` is called after every event; `save` is called with a revision whose state on disk is out of date.
    """

    def __init__(
        self,
        data: DataDirectory,
        settings: EngineSettings,
        environ: Mapping[str, str],
        fleet: Fleet,
        templates: Templates,
    ) -> None:
        self._data = data
        self._start_timeout = settings.start_timeout_seconds
        self._fleet, self._templates = fleet, templates
        self._records = ReplicaRecords(data.run)
        self._launcher = Launcher(data, settings.start_timeout_seconds, environ)
        self._exit_statuses = ExitStatuses(data.exits)
        self.changed: Callable[[], None] = lambda: None
        self.save: Callable[[RevisionId], None] = lambda _: None
        self.tasks: asyncio.TaskGroup  # the agent's
        self.fork_trials = ForkTrials(fleet, templates, self._launcher, self._fork_tried)
        templates.changed = self._template_changed

    def adopt(self) -> list[ReplicaProcess]:
        """Take over the last agent's replicas that still run. Each needs a call of `learn_state` afterwards."""
        self._exit_statuses.start()
        self._records.discard_drafts()
        adopted = []
        for record in self._records.living():
            with contextlib.suppress(ProcessLookupError):  # it has just ended, which is no failure of its revision
                replica = ReplicaProcess.adopt(record)
                self._watch(replica)
                adopted.append(replica)
                _log.info("replica is adopted", extra=fields(replica=record.id, revision=record.revision))
        self._exit_statuses.discard_strangers()
        with contextlib.suppress(OSError):
            left_over = self._launcher.left_over({replica.record.id for replica in adopted})
            self._clear_soon(*left_over)
        return adopted

    def close(self) -> None:
        """Stop reaping child processes."""
        self._exit_statuses.stop()

    async def learn_state(self, replica: ReplicaProcess) -> None:
        """Wait until an adopted replica is ready. One that has no socket or speaks another protocol is ended."""
        while replica.facts.state is not ReplicaState.DRAINING and replica.record.alive:
            try:
                self.replica_ready(replica, (await greet(replica.record)).proof, None)
            except NotListening:
                if replica.facts.state is ReplicaState.STARTING:
                    await asyncio.sleep(_GREETING_SECONDS)
                    continue
                await self._dismiss(replica, "its socket is gone")
            except Foreign:
                await self._dismiss(replica, "it speaks another protocol")
            return

    def start(self, revision: RevisionId, *, fork: bool) -> None:
        """Start one more replica: forked from the revision's template, or spawned. A failed spawn is a failed start.

        A template that lacks imports which are on record is also made anew.
        """
        known, now = self._fleet.revisions[revision], time.monotonic()
        context = self._context(known, now)
        template = self._templates.use(known.template) if fork else None
        if template is None:
            self._spawn(revision, context)
        else:
            facts = ReplicaFacts(new_id(), revision, known.launch, ReplicaState.STARTING, now, forked=True)
            self._fleet.forking[facts.id] = facts
            self.tasks.create_task(attempted(self._fork(facts, template, context), f"fork {facts.id}"))
            if self._templates.recorded(known.applied.target):
                self._templates.want(known.template, known.applied.target, now)

    def _context(self, known: HeldRevision, now: float) -> StartContext:
        asked_at, known.woken_at = known.woken_at or now, None
        applied = known.applied
        proved = applied.target.proved or applied.proof is not None
        return StartContext(asked_at, proved=proved, proof=applied.proof)

    def _spawn(self, revision: RevisionId, context: StartContext) -> None:
        began = time.monotonic()
        try:
            replica = self._launcher.spawn(self._fleet.revisions[revision].applied.target, context)
        except Unavailable as error:
            self._fleet.start_failed(revision, error.message, began, time.monotonic())
            self._report(revision, error.message)
        else:
            self._watch(replica)

    async def _fork(self, facts: ReplicaFacts, template: Template, context: StartContext) -> None:
        """Fork a replica; where that fails, spawn one instead."""
        known = self._fleet.revisions[facts.revision]
        fork_context = msgspec.structs.replace(context, untried=context.proof is None)
        try:
            replica = await self._launcher.fork(template, facts.id, known.applied.target, fork_context)
        except Exception as error:
            if not isinstance(error, NoFork):
                _log.exception("a fork failed by a defect", extra=fields(replica=facts.id))
            reason = f"The template did not fork a replica: {error}" if isinstance(error, NoFork) else _DEFECT
            self._report(facts.revision, f"{reason}; the replica is spawned.", facts.id)
            if self._end_forking(facts) and facts.revision in self._fleet.revisions:
                self._spawn(facts.revision, context)
        else:
            wanted = self._end_forking(facts)
            self._watch(replica)
            if not wanted:
                replica.drain()
        self.changed()

    def _end_forking(self, facts: ReplicaFacts) -> bool:
        """Take a replica off the list of those that are being forked. Returns whether it is still wanted."""
        return self._fleet.forking.pop(facts.id).state is ReplicaState.STARTING

    def drain(self, replica: ReplicaId) -> None:
        """Ask a replica to finish its requests and end."""
        if replica in self._fleet.forking:
            facts = self._fleet.forking[replica]
            self._fleet.forking[replica] = replace(facts, state=ReplicaState.DRAINING, killed=True)
        else:
            self._fleet.replicas[replica].drain()

    def kill(self, replica: ReplicaId) -> None:
        """End a replica at once."""
        self._fleet.replicas[replica].kill()

    def give_up(self, identity: ReplicaId) -> None:
        """End a replica that did not become ready in time: a failed start."""
        if identity in self._fleet.forking:
            self.drain(identity)
            return
        replica = self._fleet.replicas[identity]
        limit = f"{self._start_timeout:g} s (engine.start_timeout_seconds)"
        self._start_failed(replica, f"The replica was not ready after {limit} and was ended; see the log.")
        replica.kill()

    def end_outgrown(self, identity: ReplicaId, message: str) -> None:
        """End a replica that uses far more memory than it may. Before it is ready, that is a failed start."""
        replica = self._fleet.replicas[identity]
        if replica.facts.state is ReplicaState.STARTING:
            self._start_failed(replica, message)
        replica.kill()

    async def watch_deadlines(self) -> None:
        """End every replica that has missed its deadline, even if its model has removed the timer. It never returns."""
        while True:
            await asyncio.sleep(replica_deadline.LOOK_SECONDS)
            now = time.monotonic()
            with Defects("deadlines could not be read") as defects:
                for identity, replica in list(self._fleet.replicas.items()):
                    with defects.collected():
                        if not replica.ended and not replica.facts.killed and replica.deadline.missed(now):
                            self._overdue(identity, now)

    def _overdue(self, identity: ReplicaId, now: float) -> None:
        replica = self._fleet.replicas[identity]
        message = self._fleet.overdue(identity, now, time.time())
        if replica.facts.state is ReplicaState.STARTING:
            self._start_failed(replica, message)
        else:
            self._report(replica.facts.revision, message, identity)
        replica.kill()
        self.changed()

    # --- what becomes of them (`replica_process.Watcher`)

    def replica_ready(self, replica: ReplicaProcess, proof: Proof | None, answer: str | None) -> None:
        """A replica can predict. Its record says so from now on, and the next agent need not ask it."""
        facts = replica.facts
        if facts.state is ReplicaState.DRAINING:
            return
        if facts.state is ReplicaState.STARTING:
            replica.become_ready()
            with contextlib.suppress(OSError):  # the next agent then asks the replica
                self._records.write(replica.record)
            _log.info("replica is ready", extra=fields(replica=facts.id, revision=facts.revision))
        if self._fleet.ready(facts, proof, answer):
            self.save(facts.revision)
        self._want_template(facts.revision)
        self.changed()

    def _want_template(self, revision: RevisionId) -> None:
        """Have a template made for the next replica of a revision that is known to start."""
        known = self._fleet.revisions.get(revision)
        if known is not None and known.start_mode != SPAWN:
            self._templates.want(known.template, known.applied.target, time.monotonic())
            self.fork_trials.look()

    def replica_failed(self, replica: ReplicaProcess, message: str) -> None:
        """A replica has reported why it cannot become ready. It ends by itself."""
        if replica.facts.state is ReplicaState.STARTING:
            self._start_failed(replica, message)
            replica.enter(ReplicaState.DRAINING)
            self.changed()

    def replica_serves(self, replica: ReplicaProcess, path: ServingMode, batching: ServingMode, costs: Costs) -> None:
        """A replica serves in another way than its proof says, by what it has seen since."""
        revision = replica.facts.revision
        sentence = self._fleet.serves(revision, path, batching, time.time(), costs)
        if sentence:
            self._report(revision, sentence, replica.facts.id)
        if sentence is not None:
            self.save(revision)
            self.changed()

    def replica_ended(self, replica: ReplicaProcess, status: int | None) -> None:
        """A replica's process has ended."""
        facts = replica.facts
        message = self._fleet.ended(facts, status, time.monotonic(), time.time())
        if message:
            self._report(facts.revision, message, facts.id)
        else:
            _log.info("replica has drained", extra=fields(replica=facts.id, revision=facts.revision))
        with contextlib.suppress(OSError):
            self._records.remove(facts.id)
        self._clear_soon(facts.id)
        self.changed()

    def _clear_soon(self, *ended: ReplicaId) -> None:
        work = asyncio.to_thread(self._launcher.clear, *ended)
        self.tasks.create_task(attempted(work, "clear what replicas left"))

    def _watch(self, replica: ReplicaProcess) -> None:
        self._fleet.replicas[replica.facts.id] = replica
        replica.watch(self, self._exit_statuses)

    def _start_failed(self, replica: ReplicaProcess, message: str) -> None:
        facts = replica.facts
        since, now = facts.since, time.monotonic()
        self._fleet.start_failed(facts.revision, message, since, now, forked=facts.forked, loaded_at=replica.loaded_at)
        self._report(facts.revision, message, facts.id)

    async def _dismiss(self, replica: ReplicaProcess, reason: str) -> None:
        """Drain an adopted replica that cannot be used, unless it is ending already."""
        await asyncio.sleep(_GREETING_SECONDS)  # a process that ends closes its sockets a moment before
        if not replica.ended and replica.facts.state is not ReplicaState.DRAINING:
            _log.warning("an adopted replica is ended", extra=fields(replica=replica.facts.id, reason=reason))
            replica.drain()
            self.changed()

    def _report(self, revision: RevisionId, message: str, replica: ReplicaId | None = None) -> None:
        """Write a sentence into the agent's log and the revision's."""
        _log.warning(message, extra=fields(revision=revision, replica=replica))
        self._note(revision, message, replica)

    def _fork_tried(self, revision: RevisionId, sentence: str) -> None:
        self._note(revision, sentence)
        self.save(revision)
        self.changed()

    def _template_changed(self) -> None:
        self.fork_trials.look()
        self.changed()

    def _note(self, revision: RevisionId, message: str, replica: ReplicaId | None = None) -> None:
        with contextlib.suppress(OSError):
            replica_logs.note(self._data.replica_log(revision), f"replica {replica}: {message}" if replica else message)
