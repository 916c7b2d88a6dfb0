"""Whatever users do and whatever fails in between, the world becomes as asked, and what serves never stops.

`World` checks the promises at every deed; here users, faults and time come in any order.
"""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.core.examples import a_config, an_entity
from tests.core.simulation import World
from tests.draws import examples
from tidegate.core.endpoint import retention
from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.retention import outdated
from tidegate.core.endpoint.revision import revision_ids

VERSIONS = ("1", "2")
PATIENCE = 100  # ticks in which any world without further faults comes to rest

NAMES = st.sampled_from(("wine", "iris"))
CONFIGS = st.lists(st.sampled_from(VERSIONS), min_size=1, max_size=2, unique=True).map(
    lambda versions: a_config(*[an_entity(f"wine-{version}", version=version) for version in versions])
)


class Walk(RuleBasedStateMachine):
    """Users, faults and time."""

    @initialize(kept=st.sampled_from((0, 1, retention.KEPT)))
    def begin(self, kept: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(retention, "KEPT", kept)
        self.world = World()

    # --- users

    @rule(name=NAMES, config=CONFIGS, between=st.booleans())
    def ask(self, name: str, config: EndpointConfig, between: bool) -> None:
        """Create, or update where there is one and no update runs; perhaps in the middle of control's round."""

        def act() -> None:
            endpoint = self.world.living(name)
            if endpoint is None:
                self.world.create(name, config)
            elif endpoint.pending is None:
                self.world.update(endpoint, config)

        self._do(act, between)

    @precondition(lambda self: self.failed_endpoints())
    @rule()
    def mend_and_ask_again(self) -> None:
        """What the sentence of a failed update asks its reader to do."""
        self.world.mend_models()
        for endpoint in self.failed_endpoints():
            assert endpoint.failed is not None
            self.world.update(endpoint, endpoint.failed.config)

    @rule(name=NAMES, between=st.booleans())
    def delete(self, name: str, between: bool) -> None:
        def act() -> None:
            endpoint = self.world.living(name)
            if endpoint is not None:
                self.world.delete(endpoint)

        self._do(act, between)

    @rule(name=NAMES, between=st.booleans())
    def roll_back(self, name: str, between: bool) -> None:
        def act() -> None:
            endpoint = self.world.living(name)
            if endpoint is not None and endpoint.active and (endpoint.pending or endpoint.previous):
                self.world.roll_back(endpoint)

        self._do(act, between)

    def failed_endpoints(self) -> list[Endpoint]:
        return [e for e in self.world.endpoints.values() if e.failed is not None and e.deleted_at is None]

    def _do(self, act: Callable[[], None], between: bool) -> None:
        if between:
            self.world.tick(meanwhile=act)
        else:
            act()

    # --- faults

    @rule(version=st.sampled_from(VERSIONS), how=st.sampled_from(("unfit", "unloadable", "unbuildable")))
    def break_model(self, version: str, how: str) -> None:
        self.world.break_model(version, how)

    @rule(deeds=st.integers(0, 5))
    def kill_control(self, deeds: int) -> None:
        """In the middle of its round."""
        self.world.tick(deeds)
        self.world.preparations.clear()

    @precondition(lambda self: not self.world.engine_away)
    @rule()
    def lose_engine(self) -> None:
        self.world.engine_away = True

    @precondition(lambda self: self.world.engine_away)
    @rule()
    def find_engine(self) -> None:
        self.world.engine_away = False

    @rule()
    def crash_replicas(self) -> None:
        """They start again by themselves: that is the engine's matter."""
        for held in self.world.engine.values():
            if held.ready:
                held.left = 1

    # --- time

    @rule(ticks=st.integers(1, 15))
    def wait(self, ticks: int) -> None:
        for _ in range(ticks):
            self.world.tick()

    @rule(gateway=st.integers(0, 1))
    def follow(self, gateway: int) -> None:
        self.world.follow(gateway)

    # --- the end

    def teardown(self) -> None:
        """Faults end; then the world comes to rest, as asked."""
        try:
            self._come_to_rest()
        finally:
            self.patch.undo()

    def _come_to_rest(self) -> None:
        world = self.world
        world.engine_away = False
        for _ in range(PATIENCE):
            world.follow(0)
            world.follow(1)
            idle, actions = world.idle(), world.tick()
            if idle and not actions:
                break
        else:
            raise AssertionError(f"no rest after {PATIENCE} ticks; still due: {actions}")
        self._check_rest()

    def _check_rest(self) -> None:
        world, held = self.world, set()
        for endpoint in world.endpoints.values():
            assert endpoint.deleted_at is None, "a deleted endpoint is not forgotten"
            assert (endpoint.pending, endpoint.switching) == (None, None)
            assert endpoint.observed_generation == endpoint.generation
            assert endpoint.active is not None or endpoint.failed is not None
            held |= {rid for config in endpoint.configs for rid in revision_ids(endpoint.id, config).values()}
        assert set(world.engine) == held, "the engine holds what serves or is parked, and nothing else"
        assert {rid for rid, revision in world.revisions.items() if revision.state is RevisionState.READY} == held
        for endpoint in world.endpoints.values():
            assert not outdated(endpoint, [one for one in world.revisions.values() if one.endpoint_id == endpoint.id])
        for rid in set(world.revisions) - held:
            assert world.revisions[rid].state in (RevisionState.FAILED, RevisionState.RETIRED)


# The same walks at every run: a green commit stays green.
Walk.TestCase.settings = settings(max_examples=examples(250), stateful_step_count=50, deadline=None, derandomize=True)
TestWalk = Walk.TestCase
