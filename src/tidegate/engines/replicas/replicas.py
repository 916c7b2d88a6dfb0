"""The verbs over this machine's replicas: start, adopt, drain, kill; and what follows when one is ready or ends."""

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
from tidegate.engines.linux.exit_statuses import Reaper
from tidegate.engines.replicas.fleet import SPAWN, Fleet, HeldRevision
from tidegate.engines.replicas.greeting import Foreign, NotListening, greet
from tidegate.engines.replicas.launcher import Beginning, Launcher, new_id
from tidegate.engines.replicas.replica_process import Costs, ReplicaProcess, Words
from tidegate.engines.replicas.replica_record import ReplicaRecords
from tidegate.engines.scheduling.facts import ReplicaFacts
from tidegate.engines.templates.template_process import NoFork, Template
from tidegate.engines.templates.templates import Templates
from tidegate.settings import EngineSettings
from tidegate.supervised import Defects, attempted
from tidegate.telemetry import fields

_log = logging.getLogger(__name__)

_DEFECT = "Tidegate's own fault, which is in the agent's log, kept a replica from being forked"
_GREETING_SECONDS = 0.1  # between two questions whether an adopted replica is ready


class Replicas:
    """Acts on processes and enters into the fleet's account what becomes of them.

    `changed` is called after every event; `keep` when a revision has news that must go to disk.
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
        self._reaper = Reaper(data.exits)
        self.changed: Callable[[], None] = lambda: None
        self.keep: Callable[[RevisionId], None] = lambda _: None
        self.tasks: asyncio.TaskGroup  # the agent's own
        self._testable = asyncio.Event()
        templates.changed = self._template_changed

    def adopt(self) -> list[ReplicaProcess]:
        """Take over what still runs of the last agent's. Each is then to be met."""
        self._reaper.start()
        self._records.discard_drafts()
        adopted = []
        for record in self._records.living():
            with contextlib.suppress(ProcessLookupError):  # then it has just ended; its end is nobody's failure
                replica = ReplicaProcess.adopt(record)
                self._watch(replica)
                adopted.append(replica)
                _log.info("replica is adopted", extra=fields(replica=record.id, revision=record.revision))
        self._reaper.discard_strangers()
        with contextlib.suppress(OSError):
            left_over = self._launcher.left_over({replica.record.id for replica in adopted})
            self._clear_soon(*left_over)
        return adopted

    def close(self) -> None:
        """No longer reap."""
        self._reaper.stop()

    async def meet(self, replica: ReplicaProcess) -> None:
        """Learn whether an adopted replica is ready; let go of one that cannot be talked to."""
        while replica.facts.state is not ReplicaState.DRAINING and replica.record.alive:
            try:
                self.replica_ready(replica, (await greet(replica.record)).proof, None)
            except NotListening:
                if replica.facts.state is ReplicaState.STARTING:
                    await asyncio.sleep(_GREETING_SECONDS)
                    continue
                await self._let_go(replica, "its socket is gone")
            except Foreign:
                await self._let_go(replica, "it speaks another protocol")
            return

    def start(self, revision: RevisionId, *, fork: bool) -> None:
        """Start one more replica; a template that it is forked from is made anew where it lacks imports.

        A failed spawn is a failed start.
        """
        known, now = self._fleet.revisions[revision], time.monotonic()
        beginning = self._beginning(known, now)
        template = self._templates.use(known.template) if fork else None
        if template is None:
            self._spawn(revision, beginning)
        else:
            facts = ReplicaFacts(new_id(), revision, known.launch, ReplicaState.STARTING, now, forked=True)
            self._fleet.forking[facts.id] = facts
            self.tasks.create_task(attempted(self._fork(facts, template, beginning), f"fork {facts.id}"))
            if self._templates.recorded(known.applied.target):
                self._templates.want(known.template, known.applied.target, now)

    def _beginning(self, known: HeldRevision, now: float) -> Beginning:
        asked_at, known.woken_at = known.woken_at or now, None
        applied = known.applied
        proved = applied.target.proved or applied.proof is not None
        return Beginning(asked_at, proved=proved, proof=applied.proof)

    def _spawn(self, revision: RevisionId, beginning: Beginning) -> None:
        began = time.monotonic()
        try:
            replica = self._launcher.spawn(self._fleet.revisions[revision].applied.target, beginning)
        except Unavailable as error:
            self._fleet.start_failed(revision, error.message, began, time.monotonic())
            self._tell(revision, error.message)
        else:
            self._watch(replica)

    async def _fork(self, facts: ReplicaFacts, template: Template, beginning: Beginning) -> None:
        """Fork it, or spawn it instead."""
        known = self._fleet.revisions[facts.revision]
        order = msgspec.structs.replace(beginning, untried=beginning.proof is None)
        try:
            replica = await self._launcher.fork(template, facts.id, known.applied.target, order)
        except Exception as error:
            if not isinstance(error, NoFork):
                _log.exception("a fork failed by a defect", extra=fields(replica=facts.id))
            reason = f"The template did not fork a replica: {error}" if isinstance(error, NoFork) else _DEFECT
            self._tell(facts.revision, f"{reason}; the replica is spawned.", facts.id)
            if self._forked(facts) and facts.revision in self._fleet.revisions:
                self._spawn(facts.revision, beginning)
        else:
            wanted = self._forked(facts)
            self._watch(replica)
            if not wanted:
                replica.drain()
        self.changed()

    def _forked(self, facts: ReplicaFacts) -> bool:
        """No longer count it among those that are forked. Whether it is still wanted."""
        return self._fleet.forking.pop(facts.id).state is ReplicaState.STARTING

    async def try_forks(self) -> None:
        """Try, once for each revision, whether its replicas can be forked; without end. Those waited for come first."""
        while True:
            self._testable.clear()
            for revision, known in sorted(self._fleet.revisions.items(), key=lambda item: not item[1].awaited):
                if known.untested and known.template in self._templates.hopeless:
                    self._tested(revision, self._templates.hopeless[known.template])
                elif known.untested and known.template in self._templates.warm:
                    await self._try_fork(revision, known)
            await self._testable.wait()

    async def _try_fork(self, revision: RevisionId, known: HeldRevision) -> None:
        template, applied = self._templates.use(known.template), known.applied
        assert template is not None
        assert applied.proof is not None
        try:
            reason = await self._launcher.fork_trial(template, applied.target, applied.proof, applied.answer)
        except NoFork as error:
            _log.warning("a fork could not be tried", extra=fields(revision=revision, error=error))
            return
        except Exception:  # the revisions behind this one must have their trials too
            _log.exception("a fork could not be tried, by a defect", extra=fields(revision=revision))
            reason = f"{_DEFECT}."
        if self._fleet.revisions.get(revision) is known:
            self._tested(revision, reason)

    def _tested(self, revision: RevisionId, reason: str) -> None:
        if self._fleet.tested(revision, reason):
            self._note(revision, f"Replicas are spawned. {reason}" if reason else "Replicas are forked from now on.")
            self.keep(revision)
            self.changed()

    def _template_changed(self) -> None:
        self._testable.set()
        self.changed()

    def drain(self, replica: ReplicaId) -> None:
        """Ask it to finish what it has begun and end."""
        if replica in self._fleet.forking:
            facts = self._fleet.forking[replica]
            self._fleet.forking[replica] = replace(facts, state=ReplicaState.DRAINING, killed=True)
        else:
            self._fleet.replicas[replica].drain()

    def kill(self, replica: ReplicaId) -> None:
        """End it now."""
        self._fleet.replicas[replica].kill()

    def give_up(self, identity: ReplicaId) -> None:
        """End one that did not become ready in time: a failed start."""
        if identity in self._fleet.forking:
            self.drain(identity)
            return
        replica = self._fleet.replicas[identity]
        limit = f"{self._start_timeout:g} s (engine.start_timeout_seconds)"
        self._start_failed(replica, f"The replica was not ready after {limit} and was ended; see the log.")
        replica.kill()

    def outgrown(self, identity: ReplicaId, message: str) -> None:
        """End one that uses far more memory than it may. Before it is ready that is a failed start."""
        replica = self._fleet.replicas[identity]
        if replica.facts.state is ReplicaState.STARTING:
            self._start_failed(replica, message)
        replica.kill()

    async def watch_deadlines(self) -> None:
        """End those that do not come back at their deadlines, whatever their models did to the alarm; without end."""
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
            self._tell(replica.facts.revision, message, identity)
        replica.kill()
        self.changed()

    # --- what happens to them

    def replica_ready(self, replica: ReplicaProcess, proof: Proof | None, answer: str | None) -> None:
        """It can predict; from now on the next agent knows that without asking."""
        facts = replica.facts
        if facts.state is ReplicaState.DRAINING:
            return
        if facts.state is ReplicaState.STARTING:
            replica.enter(ReplicaState.READY)
            replica.record = msgspec.structs.replace(replica.record, ready=True)
            with contextlib.suppress(OSError):  # then the next agent asks
                self._records.write(replica.record)
            _log.info("replica is ready", extra=fields(replica=facts.id, revision=facts.revision))
        if self._fleet.ready(facts, proof, answer):
            self.keep(facts.revision)
        self._want_template(facts.revision)
        self.changed()

    def _want_template(self, revision: RevisionId) -> None:
        """What can start can be started from a template next time."""
        known = self._fleet.revisions.get(revision)
        if known is not None and known.start_mode != SPAWN:
            self._templates.want(known.template, known.applied.target, time.monotonic())
            self._testable.set()

    def replica_failed(self, replica: ReplicaProcess, message: str) -> None:
        """It says why it cannot become ready, and ends by itself."""
        if replica.facts.state is ReplicaState.STARTING:
            self._start_failed(replica, message)
            replica.enter(ReplicaState.DRAINING)
            self.changed()

    def replica_serves(self, replica: ReplicaProcess, path: Words, batching: Words, costs: Costs) -> None:
        """It serves in another way than was proved, for what it has seen since."""
        revision = replica.facts.revision
        sentence = self._fleet.serves(revision, path, batching, time.time(), costs)
        if sentence:
            self._tell(revision, sentence, replica.facts.id)
        if sentence is not None:
            self.keep(revision)
            self.changed()

    def replica_ended(self, replica: ReplicaProcess, status: int | None) -> None:
        """Its process has ended."""
        facts = replica.facts
        message = self._fleet.ended(facts, status, time.monotonic(), time.time())
        if message:
            self._tell(facts.revision, message, facts.id)
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
        replica.watch(self, self._reaper)

    def _start_failed(self, replica: ReplicaProcess, message: str) -> None:
        facts = replica.facts
        self._fleet.start_failed(facts.revision, message, facts.since, time.monotonic(), forked=facts.forked)
        self._tell(facts.revision, message, facts.id)

    async def _let_go(self, replica: ReplicaProcess, reason: str) -> None:
        await asyncio.sleep(_GREETING_SECONDS)  # one that is ending by itself closes its sockets a moment before
        if not replica.ended and replica.facts.state is not ReplicaState.DRAINING:
            _log.warning("an adopted replica is ended", extra=fields(replica=replica.facts.id, reason=reason))
            replica.drain()
            self.changed()

    def _tell(self, revision: RevisionId, message: str, replica: ReplicaId | None = None) -> None:
        _log.warning(message, extra=fields(revision=revision, replica=replica))
        self._note(revision, message, replica)

    def _note(self, revision: RevisionId, message: str, replica: ReplicaId | None = None) -> None:
        with contextlib.suppress(OSError):
            replica_logs.note(self._data.replica_log(revision), f"replica {replica}: {message}" if replica else message)
