"""The engine's notices, written into the endpoints' histories: what it did to a replica without being asked.

An engine keeps the newest notices of each revision in memory. Each is written once. After a restart of control, the
history itself says which of them were written.
"""

import logging
from collections.abc import Mapping

from tidegate.core.endpoint.revision import Notice, Revision, RevisionId, RevisionObservation
from tidegate.core.errors import TidegateError
from tidegate.core.legacy_products.serving_history import of_replicas
from tidegate.ports import Event, Store
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

_READ = 200


class ReplicaNotices:
    """Writes notices as events, oldest first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: dict[RevisionId, float] = {}  # the time of the newest notice that is known to be written

    async def take(
        self, observations: Mapping[RevisionId, RevisionObservation], revisions: Mapping[RevisionId, Revision]
    ) -> None:
        """Write the notices that are new. A notice that cannot be written is tried again the next time."""
        for rid, observation in observations.items():
            revision, notices = revisions.get(rid), observation.notices
            if revision is None or not notices or notices[-1].at <= self._written.get(rid, 0.0):
                continue
            try:
                await self._write(revision, notices)
            except TidegateError as error:
                logger.warning("a notice cannot be written yet: %s", error.message, extra=fields(revision=rid))

    async def _write(self, revision: Revision, notices: tuple[Notice, ...]) -> None:
        if revision.id not in self._written:
            self._written[revision.id] = await self._newest_on_record(revision, notices)
        for notice in notices:
            if notice.at > self._written[revision.id]:
                message = f"Served entity {of_replicas(revision.entity, notice.message)}"
                await self._store.add_event(Event(revision.endpoint_id, notice.at, notice.kind, message))
                self._written[revision.id] = notice.at

    async def _newest_on_record(self, revision: Revision, notices: tuple[Notice, ...]) -> float:
        """The time of the newest of these notices that an earlier process of control wrote."""
        events = {(event.at, event.kind) for event in await self._store.events(revision.endpoint_id, _READ)}
        return max((notice.at for notice in notices if (notice.at, notice.kind) in events), default=0.0)
