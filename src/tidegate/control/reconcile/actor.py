"""Carries out the actions of a plan, each by the part of control or the port that it is for."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from tidegate.control.publish.route_publisher import Publisher
from tidegate.control.reconcile.builds import Builds
from tidegate.control.reconcile.config_switch import ConfigSwitch
from tidegate.control.reconcile.endpoint_history import EndpointHistory
from tidegate.control.reconcile.endpoint_lanes import EndpointLanes
from tidegate.control.reconcile.retry_backoff import RetryBackoff
from tidegate.control.reconcile.world import ENGINE_TIMEOUT, ReconcilerPorts, World
from tidegate.control.wakeups import Wakeups
from tidegate.core.endpoint.lifecycle import check_transition
from tidegate.core.endpoint.revision import Revision, RevisionId
from tidegate.core.errors import Conflict, TidegateError
from tidegate.core.rollout.action import (
    Abandon,
    Action,
    Apply,
    Drop,
    FailUpdate,
    Forget,
    Learn,
    Move,
    Prepare,
    Promote,
    Record,
    Remove,
    Try,
    subject_of,
)
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# How many actions use the store and the engine at the same time.
_AT_ONCE = 16


class Actor:
    """Carries out actions. Where one has failed, the later ones with the same subject wait for a later pass."""

    def __init__(
        self,
        ports: ReconcilerPorts,
        world: World,
        builds: Builds,
        publisher: Publisher,
        history: EndpointHistory,
        wakeups: Wakeups,
    ) -> None:
        self._store, self._engine, self._clock = ports.store, ports.engine, ports.clock
        self._world, self._builds, self._publisher, self._history = world, builds, publisher, history
        self._switch = ConfigSwitch(ports, world, publisher, history)
        self._backoff = RetryBackoff(ports.clock)
        self._wakeups, self._lanes = wakeups, EndpointLanes(wakeups)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def act(self, actions: tuple[Action, ...], left_alone: Collection[str]) -> bool:
        """Carry out the actions of all endpoints but those left alone. Returns whether the store was written.

        Actions of one endpoint run in their order, those of different endpoints at the same time. An endpoint whose
        actions take long goes on by itself.
        """
        owned: dict[str, list[Action]] = defaultdict(list)
        for action in actions:
            owned[self._owner(action)].append(action)
        work = {owner: partial(self._act, own) for owner, own in owned.items() if owner not in left_alone}
        return await self._lanes.run(work)

    @property
    def busy(self) -> frozenset[str]:
        """The ids of endpoints whose actions of an earlier pass have not ended."""
        return self._lanes.busy

    async def stop(self) -> None:
        """Cancel the actions that have not ended."""
        await self._lanes.stop()

    def _owner(self, action: Action) -> str:
        """The id of the action's endpoint, or the id of a revision that belongs to no endpoint."""
        subject = subject_of(action)
        revision = action.revision if isinstance(action, Record | Prepare) else self._revisions.get(RevisionId(subject))
        return subject if revision is None else revision.endpoint_id

    @property
    def _revisions(self) -> Mapping[RevisionId, Revision]:
        return self._world.snapshot.revisions

    async def _act(self, actions: Sequence[Action]) -> bool:
        written = False
        skipped: set[str] = set()
        for action in actions:
            subject = subject_of(action)
            if subject not in skipped and not self._backoff.holds(subject):
                done = await self._try(action, subject)
                written |= done and not isinstance(action, Apply | Remove | Prepare | Abandon | Try)
                if not done:
                    skipped.add(subject)
        return written

    async def _try(self, action: Action, subject: str) -> bool:
        try:
            if isinstance(action, Promote | Abandon):  # these mostly wait, and take no turn meanwhile
                await self._carry_out(action)
            else:
                async with self._turns:
                    await self._carry_out(action)
        except Conflict:
            self._wakeups.store_changed = True  # somebody wrote in between; the next pass sees it
            return False
        except TidegateError as error:
            logger.warning("%s failed: %s", type(action).__name__, error.message, extra=fields(subject=subject))
        except Exception:
            logger.exception("%s failed", type(action).__name__, extra=fields(subject=subject))
        else:
            self._backoff.succeeded(subject)
            return True
        self._backoff.failed(subject)
        return False

    async def _carry_out(self, action: Action) -> None:
        match action:
            case Record(revision):
                await self._store.save_revision(replace(revision, state_since=self._clock.now()))
            case Move():
                await self._move(action)
            case Learn(rid, proof):
                await self._store.save_revision(replace(self._revisions[rid], proof=proof))
            case Prepare(revision):
                self._builds.start(revision)
            case Abandon(rid):
                await self._builds.abandon(rid)
            case Apply(target):
                async with asyncio.timeout(ENGINE_TIMEOUT):
                    await self._engine.apply(target)
            case Remove(rid):
                async with asyncio.timeout(ENGINE_TIMEOUT):
                    await self._engine.remove(rid)
            case Try(endpoint, replays):
                self._publisher.order(endpoint, replays)
            case Promote(endpoint, report):
                await self._switch.switch(endpoint, report)
            case FailUpdate(endpoint, message, report):
                self._world.show(await self._store.save_endpoint(endpoint.update_failed(message, report)))
                await self._history.tell(endpoint.id, "held_back" if report else "update_failed", message)
            case Drop(revisions):
                await self._store.drop_revisions(revisions)
            case Forget(endpoint):
                await self._store.forget_endpoint(endpoint.id)

    async def _move(self, move: Move) -> None:
        current = self._revisions[move.revision]
        check_transition(f"revision {move.revision}", current.state, move.state)
        revision = replace(
            current,
            state=move.state,
            state_since=self._clock.now(),
            message=move.message,
            generation=current.generation if move.generation is None else move.generation,
            environment=move.environment or current.environment,
            model_dir=current.model_dir if move.model_dir is None else move.model_dir,
            proof=move.proof or current.proof,
        )
        await self._store.save_revision(revision)
        logger.info("%s → %s %s", current.state, move.state, move.message, extra=fields(revision=revision.id))
        await self._history.tell_state(revision)
