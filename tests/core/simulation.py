"""A whole platform in memory: what `plan` asks for is done, slowly, by an engine and gateways that may fail.

Every deed checks the promises that hold at all times, so that a test need only walk.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from tests.core.examples import ENVIRONMENT, PROOF
from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig, PendingConfig
from tidegate.core.endpoint.lifecycle import RevisionState, check_transition
from tidegate.core.endpoint.revision import (
    Address,
    Replica,
    ReplicaId,
    ReplicaState,
    Revision,
    RevisionId,
    RevisionObservation,
    RevisionTarget,
    revision_ids,
)
from tidegate.core.planes.route_table import RouteTable, compile_table
from tidegate.core.rollout.action import (
    Abandon,
    Action,
    Apply,
    Drop,
    FailUpdate,
    Forget,
    Move,
    Prepare,
    Promote,
    Record,
    Remove,
    Try,
)
from tidegate.core.rollout.gate import GateDefaults, replays_of
from tidegate.core.rollout.plan import plan
from tidegate.core.rollout.replay import Findings, Replay
from tidegate.core.rollout.snapshot import Preparation, PreparationState, Snapshot

# Ticks. To drain takes longest, so that what is asked for again meets what has not ended yet.
PREPARE, START, DRAIN = 1, 2, 12


@dataclass
class Held:
    """A revision in the engine: one replica, `left` ticks from ready or from its end."""

    target: RevisionTarget
    left: int
    draining: bool = False
    failed_starts: int = 0

    @property
    def ready(self) -> bool:
        return self.left == 0 and not self.draining


@dataclass
class World:
    """What is stored, what runs, what gateways follow; and which model versions are broken now, and how."""

    gateways: list[RouteTable] = field(default_factory=lambda: [RouteTable(), RouteTable()])
    endpoints: dict[str, Endpoint] = field(default_factory=dict)  # by id
    revisions: dict[RevisionId, Revision] = field(default_factory=dict)
    preparations: dict[RevisionId, tuple[Revision, int]] = field(default_factory=dict)  # ticks left
    engine: dict[RevisionId, Held] = field(default_factory=dict)
    engine_away: bool = False
    created: int = 0
    unbuildable: set[str] = field(default_factory=set)  # model versions
    unloadable: set[str] = field(default_factory=set)  # model versions
    unfit: set[str] = field(default_factory=set)  # model versions that fail on recorded requests
    replays: dict[str, tuple[Replay, ...]] = field(default_factory=dict)  # ordered, by endpoint id
    doubtful: set[str] = field(default_factory=set)  # ids of endpoints whose update may fail

    # --- what users do

    def create(self, name: str, config: EndpointConfig) -> None:
        """A new endpoint; its id is new even where its name was used before."""
        self.created += 1
        identity = f"{name}-{self.created}"
        self.endpoints[identity] = Endpoint(identity, name, "admin", 0.0, 0.0, pending=PendingConfig(config, 0.0))
        self._doubt(identity)

    def update(self, endpoint: Endpoint, config: EndpointConfig) -> None:
        """An accepted update."""
        self.endpoints[endpoint.id] = endpoint.with_update(config, 0.0)
        self.doubtful.discard(endpoint.id)
        self._doubt(endpoint.id)

    def roll_back(self, endpoint: Endpoint) -> None:
        """An accepted rollback."""
        self.endpoints[endpoint.id] = endpoint.rolled_back(0.0)

    def delete(self, endpoint: Endpoint) -> None:
        """An accepted deletion."""
        self.endpoints[endpoint.id] = replace(endpoint, deleted_at=1.0, generation=endpoint.generation + 1)

    def living(self, name: str) -> Endpoint | None:
        """The endpoint of that name that is not deleted."""
        return next((e for e in self.endpoints.values() if e.name == name and e.deleted_at is None), None)

    def break_model(self, version: str, how: str) -> None:
        """A model version is "unfit" for real requests, "unloadable" or even "unbuildable"."""
        {"unfit": self.unfit, "unloadable": self.unloadable, "unbuildable": self.unbuildable}[how].add(version)
        for identity in self.endpoints:
            self._doubt(identity)

    def mend_models(self) -> None:
        """All models are sound again."""
        self.unbuildable.clear()
        self.unloadable.clear()
        self.unfit.clear()

    def _doubt(self, identity: str) -> None:
        pending = self.endpoints[identity].pending
        versions = {entity.resolved.version for entity in pending.config.served_entities} if pending else set()
        if versions & (self.unbuildable | self.unloadable | self.unfit):
            self.doubtful.add(identity)

    # --- the loop

    def tick(self, deeds: int = 1_000, meanwhile: Callable[[], None] = lambda: None) -> tuple[Action, ...]:
        """Plan, do the first `deeds` actions (control is killed after them when there are more), let time pass.

        `meanwhile` happens between the look at the world and the first deed.
        """
        actions = plan(self.snapshot())
        meanwhile()
        for action in actions[:deeds]:
            self._do(action)
        if len(actions) > deeds:
            self.preparations.clear()
            self.replays.clear()
        self._pass_time()
        self.check()
        return actions

    def snapshot(self) -> Snapshot:
        """The world as control sees it."""
        observations = {rid: self._observe(held) for rid, held in self.engine.items()}
        return Snapshot(
            tuple(self.endpoints.values()),
            dict(self.revisions),
            {rid: self._preparation(*entry) for rid, entry in self.preparations.items()},
            None if self.engine_away else observations,
            frozenset(set(self.revisions) - self.routed()),
            findings={found.id: found for replay in self._done() for found in [self._found(replay)]},
        )

    def _done(self) -> Iterator[Replay]:
        """The replays that both gateways have been told of."""
        one, other = self.gateways
        return (replay for replay in one.replays if replay in other.replays)

    def _found(self, replay: Replay) -> Findings:
        unfit = self.revisions[replay.candidate].entity.resolved.version in self.unfit
        return Findings(replay.id, requests=9, errors=9 if unfit else 0, error="It raises." if unfit else "")

    def published(self) -> RouteTable:
        """The newest route table."""
        ordered = {
            identity: replays
            for identity, replays in self.replays.items()
            if identity in self.endpoints and replays_of(self.endpoints[identity], GateDefaults()) == replays
        }
        return compile_table(self.endpoints.values(), "/run/agent.sock", replays=ordered)

    def routed(self) -> set[RevisionId]:
        """What any gateway may send a request to, now or when it follows."""
        return {rid for table in (*self.gateways, self.published()) for rid in table.revisions}

    def follow(self, gateway: int) -> None:
        """A gateway takes over the newest route table."""
        self.gateways[gateway] = self.published()

    # --- promises that hold at every moment

    def check(self) -> None:
        """What a gateway routes to is up; what serves is READY, whole, and what is parked too."""
        for endpoint in self.endpoints.values():
            parked = endpoint.previous.config if endpoint.previous else None
            for config in (endpoint.active, endpoint.routed.active, parked) if endpoint.deleted_at is None else ():
                ids = revision_ids(endpoint.id, config).values() if config else ()
                assert {self.revisions[rid].state for rid in ids} <= {RevisionState.READY}
        for table in self.gateways:
            for rid in table.revisions:
                assert rid in self.engine, f"{rid} is routed and gone"
                assert not self.engine[rid].draining, f"{rid} is routed and drains"

    def idle(self) -> bool:
        """Nothing is under way in engine, builds or gateways."""
        settled = all(held.left == 0 and not held.draining for held in self.engine.values())
        followed = all(table == self.published() for table in self.gateways)
        return settled and followed and not self.preparations

    # --- deeds

    def _do(self, action: Action) -> None:
        match action:
            case Record(revision):
                assert revision.id not in self.revisions
                self.revisions[revision.id] = revision
            case Move():
                self._move(action)
            case Prepare(revision):
                self.preparations[revision.id] = (revision, PREPARE)
            case Abandon(rid):
                self.preparations.pop(rid, None)
            case Apply() | Remove():
                if not self.engine_away:
                    self._instruct(action)
            case Try(endpoint, replays):
                self.replays[endpoint.id] = replays
            case Promote(endpoint, report) if self._unchanged(endpoint):
                ids = self._pending_ids(endpoint)
                assert {self.revisions[rid].state for rid in ids} == {RevisionState.READY}
                # Control may end between the two halves of a switch, and anybody write: so each is a round's deed.
                begun = endpoint.switching is not None
                self.endpoints[endpoint.id] = endpoint.routed if begun else endpoint.let_through(0.0, report)
            case FailUpdate(endpoint, message) if self._unchanged(endpoint):
                assert message
                assert endpoint.id in self.doubtful, "a sound update fails"
                self.endpoints[endpoint.id] = endpoint.update_failed(message)
            case Drop(revisions):
                for rid in revisions:
                    assert rid not in self.engine, f"the record of {rid} is dropped while something of it runs"
                    assert rid not in self.routed(), f"the record of {rid} is dropped while routed"
                    del self.revisions[rid]
            case Forget(endpoint):
                mine = {rid for rid, revision in self.revisions.items() if revision.endpoint_id == endpoint.id}
                assert not mine & set(self.engine), "an endpoint is forgotten while something of it runs"
                self.revisions = {rid: revision for rid, revision in self.revisions.items() if rid not in mine}
                del self.endpoints[endpoint.id]

    def _move(self, move: Move) -> None:
        revision = self.revisions[move.revision]
        check_transition(move.revision, revision.state, move.state)
        changes = {
            name: value
            for name in ("generation", "environment", "model_dir", "proof")
            if (value := getattr(move, name)) is not None
        }
        self.revisions[revision.id] = replace(revision, state=move.state, message=move.message, **changes)

    def _instruct(self, action: Apply | Remove) -> None:
        if isinstance(action, Remove):
            assert action.revision not in self.routed(), f"{action.revision} is removed while routed"
            held = self.engine.get(action.revision)
            if held and not held.draining:
                held.draining, held.left = True, DRAIN
        elif (held := self.engine.get(action.target.revision)) is not None:
            held.target = action.target
        else:
            self.engine[action.target.revision] = Held(action.target, START)

    def _unchanged(self, endpoint: Endpoint) -> bool:
        return self.endpoints.get(endpoint.id) == endpoint

    def _pending_ids(self, endpoint: Endpoint) -> Iterator[RevisionId]:
        coming = endpoint.switching.to if endpoint.switching else endpoint.pending
        assert coming is not None
        yield from revision_ids(endpoint.id, coming.config).values()

    # --- time

    def _pass_time(self) -> None:
        self.preparations = {rid: (revision, max(0, left - 1)) for rid, (revision, left) in self.preparations.items()}
        for rid, held in list(self.engine.items()):
            if held.left == 0:
                continue
            held.left -= 1
            if held.left == 0 and held.draining:
                del self.engine[rid]
            elif held.left == 0 and self._fails_to_load(self.revisions[rid]):
                held.failed_starts, held.left = held.failed_starts + 1, START
            elif held.left == 0:
                held.failed_starts = 0

    def _fails_to_load(self, revision: Revision) -> bool:
        """A model that was proved once loads again: whether it crashes later is the engine's matter."""
        return revision.entity.resolved.version in self.unloadable and revision.proof is None

    def _preparation(self, revision: Revision, left: int) -> Preparation:
        if left:
            return Preparation(PreparationState.RUNNING)
        if revision.entity.resolved.version in self.unbuildable:
            return Preparation(PreparationState.FAILED, "It cannot be built.")
        return Preparation(PreparationState.DONE, "", ENVIRONMENT, "/models/m")

    def _observe(self, held: Held) -> RevisionObservation:
        state = ReplicaState.READY if held.ready else ReplicaState.STARTING
        if held.draining:
            state = ReplicaState.DRAINING
        replica = Replica(ReplicaId("0" * 8), state, Address("/run/r.sock", "s"), 1, 0.0)
        message = "It does not load." if held.failed_starts else ""
        return RevisionObservation(held.target, (replica,), held.failed_starts, message, PROOF if held.ready else None)
