"""The loop that brings the world to what was asked: look, plan, act, publish.

It only sequences: deciding is in `core.rollout.plan`, doing behind the ports. Level-triggered: a pass starts from what
is, not from what happened; an action that fails is logged, and planned again at a later pass.
"""

import asyncio
import contextlib
import logging
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.control.backoff import Backoff
from tidegate.control.builds import Builds
from tidegate.control.gateways import Gateways
from tidegate.control.notices import Notices
from tidegate.control.publisher import Access, Publisher
from tidegate.control.scaler import Scaler
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState, check_transition
from tidegate.core.endpoint.revision import Revision, RevisionId, RevisionObservation
from tidegate.core.endpoint.status import EndpointStatus, project
from tidegate.core.errors import Conflict, TidegateError, Unavailable
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
from tidegate.core.rollout.gate import Gate
from tidegate.core.rollout.plan import Snapshot, plan
from tidegate.core.rollout.switch import switch_of
from tidegate.ports import Clock, Engine, Event, Store
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# Pauses between passes, seconds: while something is under way, when all is as asked, and when nothing runs besides.
_BUSY, _CALM, _ASLEEP = 0.25, 1.0, 5.0
# The store is read when something was written, and besides every so many seconds.
_READ_STORE_EVERY = 30.0
# An engine that has not answered for so long is away.
_ENGINE_TIMEOUT = 10.0

# Each is a write to the store: when a thousand endpoints go to sleep at once, the others are not kept waiting for it.
_EVENTS_A_PASS = 20

# What a gateway may take to follow a table before a promotion goes on without it.
_FOLLOW_TIMEOUT = 1.0

# How often a switch is put on record anew when somebody else writes the same endpoint at the same time.
_ATTEMPTS = 10

_AT_REST = frozenset({RevisionState.READY, RevisionState.FAILED, RevisionState.RETIRED})


@dataclass(frozen=True, slots=True)
class Outside:
    """The ports that the reconciler acts through."""

    store: Store
    engine: Engine
    clock: Clock


@dataclass(frozen=True, slots=True)
class Defaults:
    """What applies where nothing else is asked for: a replica's memory by workload_type, bytes, and the gate."""

    memory_limits: Mapping[str, int] = field(default_factory=dict)
    gate: Gate = field(default_factory=Gate)


_NOTHING = Defaults()


class Reconciler:
    """Sees to it that what runs is what was asked for. `world` is what it saw last; only it writes revisions."""

    def __init__(
        self,
        outside: Outside,
        builds: Builds,
        gateways: Gateways,
        scaler: Scaler,
        access: Access,
        defaults: Defaults = _NOTHING,
    ) -> None:
        self.world = Snapshot(memory_limits=defaults.memory_limits, gate=defaults.gate)
        self._notices = Notices(outside.store)
        # What the engine reported last, kept while it is away: its replicas serve on without it.
        self.observations: Mapping[RevisionId, RevisionObservation] = {}
        self._store, self._engine, self._clock = outside.store, outside.engine, outside.clock
        self._builds, self._gateways, self._scaler = builds, gateways, scaler
        self._publisher = Publisher(gateways, access, defaults.gate, outside.clock)
        self._backoff = Backoff(outside.clock)
        self.looked = False  # whether `world` is more than its beginning
        self._read_at: float | None = None  # None when the store must be read
        self._settled: Snapshot | None = None  # the last world in which nothing was due
        self._woken = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, so that verbs have something to tell, then keep the world as asked."""
        try:
            await self._look()
        except TidegateError as error:
            logger.warning("the first look at the world failed: %s", error.message)
        self._loop = asyncio.create_task(self._run(), name="reconciler")

    async def stop(self) -> None:
        """End the loop; what runs goes on running."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait({self._loop})

    def nudge(self) -> None:
        """Something has changed: look now."""
        self._read_at = None
        self._woken.set()

    def hurry(self) -> None:
        """Something waits: look at it now. Nothing was written, so the store is not read."""
        self._woken.set()

    def status_of(self, endpoint: Endpoint) -> EndpointStatus:
        """The public state of an endpoint, from what was seen last."""
        return project(endpoint, self.world.revisions, self.observations)

    async def run_once(self) -> float:
        """One pass. Returns after how many seconds the next is due: 0 when this one has changed something.

        Raises Unavailable when the store cannot be read; nothing has been done then.
        """
        await self._look()
        changed = False
        skipped: set[str] = set()
        for action in self._plan():
            subject = subject_of(action)
            if subject not in skipped and not self._backoff.holds(subject):
                done = await self._try(action, subject)
                changed |= done and not isinstance(action, Apply | Remove | Prepare | Abandon | Try)
                if not done:
                    skipped.add(subject)
        for event in self._scaler.told(_EVENTS_A_PASS):
            await self._add(event)
        if changed:
            self._read_at = None
        return 0.0 if changed else self._pause()

    # --- look

    async def _look(self) -> None:
        now = self._clock.monotonic()
        endpoints, revisions = self.world.endpoints, self.world.revisions
        if self._read_at is None or now - self._read_at >= _READ_STORE_EVERY:
            self._read_at = now
            try:
                read, recorded = await self._store.endpoints(), await self._store.revisions()
            except BaseException:
                self._read_at = None
                raise
            endpoints = endpoints if _identical(endpoints, read) else read
            revisions = revisions if _identical(tuple(revisions.values()), tuple(recorded.values())) else recorded
        self.world, self.looked = replace(self.world, endpoints=endpoints, revisions=revisions), True
        self._publisher.publish(self.world.endpoints)
        observations = await self._observe()
        retiring = [rid for rid, revision in revisions.items() if revision.state is RevisionState.RETIRING]
        unrouted = self._gateways.unrouted(retiring)
        self.world = replace(
            self.world,
            preparations=self._builds.preparations,
            observations=observations,
            unrouted=unrouted,
            scales={} if observations is None else self._scaler.scales(endpoints, revisions, observations),
            findings=self._publisher.findings,
        )
        await self._notices.take(observations or {}, revisions)

    async def _observe(self) -> Mapping[RevisionId, RevisionObservation] | None:
        try:
            async with asyncio.timeout(_ENGINE_TIMEOUT):
                self.observations = await self._engine.observe()
        except (Unavailable, TimeoutError):
            return None
        return self.observations

    # --- plan

    def _plan(self) -> tuple[Action, ...]:
        if self._settled is not None and _same(self.world, self._settled):
            return ()
        actions = self._plan_all()
        self._settled = None if actions else self.world
        return actions

    def _plan_all(self) -> tuple[Action, ...]:
        try:
            return plan(self.world)
        except Exception:
            logger.exception("the plan for all endpoints failed; each is planned by itself")
            return tuple(action for endpoint in self.world.endpoints for action in self._plan_alone(endpoint))

    def _plan_alone(self, endpoint: Endpoint) -> tuple[Action, ...]:
        """One endpoint's plan, so that a defect in another one does not stop it."""
        world = self.world
        revisions = {rid: revision for rid, revision in world.revisions.items() if revision.endpoint_id == endpoint.id}
        seen = world.observations
        mine = None if seen is None else {rid: seen[rid] for rid in revisions if rid in seen}
        try:
            return plan(replace(world, endpoints=(endpoint,), revisions=revisions, observations=mine))
        except Exception:
            logger.exception("an endpoint cannot be planned", extra=fields(endpoint=endpoint.name))
            return ()

    # --- act

    async def _try(self, action: Action, subject: str) -> bool:
        try:
            await self._act(action)
        except Conflict:
            self._read_at = None  # somebody wrote in between; the next pass sees it
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

    async def _act(self, action: Action) -> None:
        match action:
            case Record(revision):
                await self._store.save_revision(replace(revision, state_since=self._clock.now()))
            case Move():
                await self._move(action)
            case Learn(rid, proof):
                await self._store.save_revision(replace(self.world.revisions[rid], proof=proof))
            case Prepare(revision):
                self._builds.start(revision)
            case Abandon(rid):
                await self._builds.abandon(rid)
            case Apply(target):
                async with asyncio.timeout(_ENGINE_TIMEOUT):
                    await self._engine.apply(target)
            case Remove(rid):
                async with asyncio.timeout(_ENGINE_TIMEOUT):
                    await self._engine.remove(rid)
            case Try(endpoint, replays):
                self._publisher.order(endpoint, replays)
            case Promote(endpoint, report):
                await self._switch(endpoint, report)
            case FailUpdate(endpoint, message, report):
                await self._replace(endpoint.update_failed(message, report))
                await self._tell(endpoint.id, "held_back" if report else "update_failed", message)
            case Drop(revisions):
                await self._store.drop_revisions(revisions)
            case Forget(endpoint):
                await self._store.forget_endpoint(endpoint.id)

    async def _move(self, move: Move) -> None:
        current = self.world.revisions[move.revision]
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
        if (sentence := _event_of(revision)) is not None:
            await self._tell(revision.endpoint_id, revision.state.value, sentence)

    async def _switch(self, endpoint: Endpoint, report: str) -> None:
        """Switch by three steps, of which each may be the last one of this control (decision 9).

        That it begins is on record before any gateway routes by it: from then on, whoever reads the store routes to
        what is new. That it has ended is on record when gateways have followed: who is told so may ask at once.
        """
        if endpoint.switching is None:
            endpoint = await self._store.save_endpoint(endpoint.let_through(self._clock.now(), report))
            self._show(endpoint)
        await self._publisher.switch(endpoint, _FOLLOW_TIMEOUT)
        switch = switch_of(endpoint)
        self._show(await self._ended(endpoint))
        await self._tell(endpoint.id, switch.kind, switch.sentence)

    async def _ended(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint with its switch on record, onto what others have written meanwhile."""
        current: Endpoint | None = endpoint
        for _ in range(_ATTEMPTS):
            if current is None or current.id != endpoint.id:
                break
            if current.switching != endpoint.switching:
                return current  # it is on record already, and the store's word on it was lost
            try:
                return await self._store.save_endpoint(current.routed, switch_of(current))
            except Conflict:
                current = await self._store.endpoint(endpoint.name)
        raise Conflict(f"Endpoint '{endpoint.name}' is being changed by others.")

    async def _replace(self, endpoint: Endpoint) -> None:
        self._show(await self._store.save_endpoint(endpoint))

    def _show(self, endpoint: Endpoint) -> None:
        """See the endpoint as it is now, and route by it."""
        endpoints = tuple(endpoint if other.id == endpoint.id else other for other in self.world.endpoints)
        self.world = replace(self.world, endpoints=endpoints)
        self._publisher.publish(self.world.endpoints)

    async def _tell(self, endpoint_id: str, kind: str, message: str) -> None:
        await self._add(Event(endpoint_id, self._clock.now(), kind, message))

    async def _add(self, event: Event) -> None:
        """Add to an endpoint's history. What it tells of has been done: a failure here is not one of the action."""
        try:
            await self._store.add_event(event)
        except TidegateError as error:
            logger.warning("an event was lost: %s", error.message, extra=fields(kind=event.kind))

    # --- publish, and go on

    def _pause(self) -> float:
        calm = all(revision.state in _AT_REST for revision in self.world.revisions.values()) and not any(
            endpoint.pending or endpoint.switching or endpoint.deleted_at is not None
            for endpoint in self.world.endpoints
        )
        if not calm or self.world.observations is None:
            return _BUSY
        return _ASLEEP if self._scaler.asleep else _CALM

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                pause = await self.run_once()
            except TidegateError as error:
                logger.warning("a pass failed: %s", error.message)
                pause = _CALM
            except Exception:
                logger.exception("a pass failed")
                pause = _CALM
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()


def _same(one: Snapshot, other: Snapshot) -> bool:
    """Whether two worlds are the same, as far as that is to be seen at a glance."""
    whole = one.endpoints is other.endpoints and one.revisions is other.revisions
    return whole and one.observations is other.observations and _details(one) == _details(other)


def _details(world: Snapshot) -> Snapshot:
    """All of it but what may have thousands of entries."""
    return replace(world, endpoints=(), revisions={}, observations=None)


def _identical(one: Sequence[object], other: Sequence[object]) -> bool:
    return len(one) == len(other) and all(map(operator.is_, one, other))


def _event_of(revision: Revision) -> str | None:
    """What the endpoint's owner is told when a revision has come to its state."""
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
