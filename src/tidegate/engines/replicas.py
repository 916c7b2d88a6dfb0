"""The verbs over this machine's replicas: start, adopt, drain, kill; and what follows when one is ready or ends."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping

import msgspec

from tidegate.core.errors import Unavailable
from tidegate.core.revision import Proof, ReplicaId, ReplicaState, RevisionId
from tidegate.data_directory import DataDirectory
from tidegate.engines import replica_logs
from tidegate.engines.fleet import Fleet
from tidegate.engines.greeting import Foreign, NotListening, greet
from tidegate.engines.launcher import Launcher
from tidegate.engines.reaper import Reaper
from tidegate.engines.replica_process import ReplicaProcess
from tidegate.engines.replica_record import ReplicaRecords
from tidegate.settings import EngineSettings
from tidegate.telemetry import fields

_log = logging.getLogger(__name__)

_GREETING_SECONDS = 0.1  # between two questions whether an adopted replica is ready


class Replicas:
    """Acts on processes and enters into the fleet's account what becomes of them.

    `changed` is called after every event; `keep` when a revision has news that must go to disk.
    """

    def __init__(self, data: DataDirectory, settings: EngineSettings, environ: Mapping[str, str], fleet: Fleet) -> None:
        self._data = data
        self._start_timeout = settings.start_timeout_seconds
        self._fleet = fleet
        self._records = ReplicaRecords(data.run)
        self._launcher = Launcher(data, settings.start_timeout_seconds, environ)
        self._reaper = Reaper(data.exits)
        self.changed: Callable[[], None] = lambda: None
        self.keep: Callable[[RevisionId], None] = lambda _: None

    def adopt(self) -> list[ReplicaProcess]:
        """Take over what still runs of the last agent's. Each is then to be met."""
        self._reaper.start()
        adopted = []
        for record in self._records.living():
            with contextlib.suppress(ProcessLookupError):  # then it has just ended; its end is nobody's failure
                replica = ReplicaProcess.adopt(record)
                self._watch(replica)
                adopted.append(replica)
                _log.info("replica is adopted", extra=fields(replica=record.id, revision=record.revision))
        self._reaper.discard_strangers()
        return adopted

    def close(self) -> None:
        """No longer reap."""
        self._reaper.stop()

    async def meet(self, replica: ReplicaProcess) -> None:
        """Learn whether an adopted replica is ready; let go of one that cannot be talked to."""
        while replica.facts.state is not ReplicaState.DRAINING and replica.record.alive:
            try:
                self.replica_ready(replica, (await greet(replica.record)).proof)
            except NotListening:
                if replica.facts.state is ReplicaState.STARTING:
                    await asyncio.sleep(_GREETING_SECONDS)
                    continue
                self._let_go(replica, "its socket is gone")
            except Foreign:
                self._let_go(replica, "it speaks another protocol")
            return

    def start(self, revision: RevisionId) -> None:
        """Start one more replica. That it cannot be started is a failed start."""
        known, now = self._fleet.revisions[revision], time.monotonic()
        try:
            applied = known.applied
            replica = self._launcher.start(applied.target, proved=known.held.proved, proof=applied.proof)
        except Unavailable as error:
            self._fleet.start_failed(revision, error.message, now, time.monotonic())
            self._tell(revision, error.message)
        else:
            self._watch(replica)

    def drain(self, replica: ReplicaId) -> None:
        """Ask it to finish what it has begun and end."""
        self._fleet.replicas[replica].drain()

    def kill(self, replica: ReplicaId) -> None:
        """End it now."""
        self._fleet.replicas[replica].kill()

    def give_up(self, identity: ReplicaId) -> None:
        """End one that did not become ready in time: a failed start."""
        replica = self._fleet.replicas[identity]
        limit = f"{self._start_timeout:g} s (engine.start_timeout_seconds)"
        self._start_failed(replica, f"The replica was not ready after {limit} and was ended; see the log.")
        replica.kill()

    # --- what happens to them

    def replica_ready(self, replica: ReplicaProcess, proof: Proof | None) -> None:
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
        if self._fleet.ready(facts.revision, proof):
            self.keep(facts.revision)
        self.changed()

    def replica_failed(self, replica: ReplicaProcess, message: str) -> None:
        """It says why it cannot become ready, and ends by itself."""
        if replica.facts.state is ReplicaState.STARTING:
            self._start_failed(replica, message)
            replica.enter(ReplicaState.DRAINING)
            self.changed()

    def replica_ended(self, replica: ReplicaProcess, status: int | None) -> None:
        """Its process has ended."""
        facts = replica.facts
        message = self._fleet.ended(facts, status, time.monotonic())
        if message:
            self._tell(facts.revision, message, facts.id)
        else:
            _log.info("replica has drained", extra=fields(replica=facts.id, revision=facts.revision))
        with contextlib.suppress(OSError):
            self._records.remove(facts.id)
        self.changed()

    def _watch(self, replica: ReplicaProcess) -> None:
        self._fleet.replicas[replica.facts.id] = replica
        replica.watch(self, self._reaper)

    def _start_failed(self, replica: ReplicaProcess, message: str) -> None:
        facts = replica.facts
        self._fleet.start_failed(facts.revision, message, facts.since, time.monotonic())
        self._tell(facts.revision, message, facts.id)

    def _let_go(self, replica: ReplicaProcess, reason: str) -> None:
        if replica.record.alive and replica.facts.state is not ReplicaState.DRAINING:
            _log.warning("an adopted replica is ended", extra=fields(replica=replica.facts.id, reason=reason))
            replica.drain()
            self.changed()

    def _tell(self, revision: RevisionId, message: str, replica: ReplicaId | None = None) -> None:
        _log.warning(message, extra=fields(revision=revision, replica=replica))
        with contextlib.suppress(OSError):
            replica_logs.note(self._data.replica_log(revision), f"replica {replica}: {message}" if replica else message)
