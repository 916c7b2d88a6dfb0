"""Fork trials: once for each revision, whether its replicas can be forked from its template, in the background."""

import asyncio
import logging
from collections.abc import Callable

from tidegate.core.endpoint.revision import RevisionId
from tidegate.engines.replicas.fleet import Fleet
from tidegate.engines.replicas.held_revision import HeldRevision
from tidegate.engines.replicas.launcher import Launcher
from tidegate.engines.templates.template_process import NoFork
from tidegate.engines.templates.templates import Templates
from tidegate.telemetry import fields

_log = logging.getLogger(__name__)

_DEFECT = "A defect of Tidegate prevented the fork trial; the agent's log has it."


class ForkTrials:
    """Runs the trials one after another. `on_result` is called with a revision and its sentence for the log."""

    def __init__(
        self, fleet: Fleet, templates: Templates, launcher: Launcher, on_result: Callable[[RevisionId, str], None]
    ) -> None:
        self._fleet, self._templates, self._launcher = fleet, templates, launcher
        self._on_result = on_result
        self._due = asyncio.Event()

    def look(self) -> None:
        """Look for due trials soon: a template or a revision has changed."""
        self._due.set()

    async def run(self) -> None:
        """Make every trial that is due, without end. The revisions that requests wait for come first."""
        while True:
            self._due.clear()
            for revision, held in sorted(self._fleet.revisions.items(), key=lambda item: not item[1].awaited):
                if held.needs_fork_trial and held.template in self._templates.hopeless:
                    self._conclude(revision, self._templates.hopeless[held.template])
                elif held.needs_fork_trial and held.template in self._templates.warm:
                    await self._try(revision, held)
            await self._due.wait()

    async def _try(self, revision: RevisionId, held: HeldRevision) -> None:
        template, applied = self._templates.use(held.template), held.applied
        assert template is not None
        assert applied.proof is not None
        try:
            reason = await self._launcher.fork_trial(template, applied.target, applied.proof, applied.answer)
        except NoFork as error:
            _log.warning("a fork could not be tried", extra=fields(revision=revision, error=error))
            return
        except Exception:  # the revisions behind this one must have their trials too
            _log.exception("a fork could not be tried, by a defect", extra=fields(revision=revision))
            reason = _DEFECT
        if self._fleet.revisions.get(revision) is held:
            self._conclude(revision, reason)

    def _conclude(self, revision: RevisionId, reason: str) -> None:
        """Take over a result: `reason` is why replicas cannot be forked, empty when they can."""
        if self._fleet.tested(revision, reason):
            self._on_result(
                revision, f"Replicas are spawned. {reason}" if reason else "Replicas are forked from now on."
            )
