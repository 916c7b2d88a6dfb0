"""The endpoints' histories: what verbs and reconciler have done, written as events."""

import logging

from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Revision
from tidegate.core.errors import TidegateError
from tidegate.ports import Clock, Event, Store
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)


class EndpointHistory:
    """Adds events. An event tells of what has been done, so a failure to write it is logged, and raises nothing."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def tell(self, endpoint_id: str, kind: str, message: str) -> None:
        """Add an event of now."""
        await self.add(Event(endpoint_id, self._clock.now(), kind, message))

    async def tell_state(self, revision: Revision) -> None:
        """Add the event of a revision that has come to its state, if its state has one."""
        sentence = _sentence_of(revision)
        if sentence is not None:
            await self.tell(revision.endpoint_id, revision.state.value, sentence)

    async def add(self, event: Event) -> None:
        """Add an event."""
        try:
            await self._store.add_event(event)
        except TidegateError as error:
            logger.warning("an event was lost: %s", error.message, extra=fields(kind=event.kind))


def _sentence_of(revision: Revision) -> str | None:
    name = f"Served entity '{revision.entity.name}'"
    match revision.state:
        case RevisionState.PREPARING:
            return f"{name}: its model and environment are being prepared."
        case RevisionState.STARTING:
            return f"{name}: a replica is being started."
        case RevisionState.READY:
            return f"{name} is ready. {revision.message}".rstrip()
        case RevisionState.FAILED:
            return f"{name} failed: {revision.message}"
        case _:
            return None
