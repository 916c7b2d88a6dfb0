"""The route table says what its content says, and traffic is split exactly as asked."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.examples import a_config, a_created_endpoint, an_endpoint, an_entity, rid
from tidegate.core.endpoint.endpoint import Endpoint, Route
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.route_table import EndpointRoute, Leads, compile_table, pick
from tidegate.core.rollout.gate import GateDefaults, replays_of

A, B, C = an_entity("a"), an_entity("b"), an_entity("c")
SPLIT = a_created_endpoint(a_config(A, B, C, routes=(Route("a", 90), Route("b", 10), Route("c", 0)))).promoted(1.0)
IRIS = a_created_endpoint(name="iris").promoted(1.0)
AGENT = "/run/agent.sock"


def route_of(endpoint: Endpoint) -> EndpointRoute:
    return compile_table([endpoint], AGENT).endpoints[endpoint.name]


# --- pick


def splits() -> st.SearchStrategy[tuple[int, ...]]:
    """Percentages that add up to 100."""
    cuts = st.lists(st.integers(0, 100), max_size=5).map(sorted)
    return cuts.map(lambda at: tuple(high - low for low, high in zip([0, *at], [*at, 100], strict=True)))


@given(splits())
def test_a_hundred_even_chances_are_split_exactly(percentages: tuple[int, ...]) -> None:
    weights = tuple((RevisionId(str(number)), share) for number, share in enumerate(percentages))
    route = EndpointRoute("wine", weights)
    drawn = Counter(pick(route, (number + 0.5) / 100) for number in range(100))
    assert drawn == Counter({revision: share for revision, share in weights if share})


@given(splits(), st.floats(0, math.nextafter(1, 0)))
def test_every_chance_picks_a_revision_that_has_traffic(percentages: tuple[int, ...], chance: float) -> None:
    weights = {RevisionId(str(number)): share for number, share in enumerate(percentages)}
    picked = pick(EndpointRoute("wine", tuple(weights.items())), chance)
    assert picked is not None
    assert weights[picked] > 0


def test_nothing_is_picked_while_nothing_serves() -> None:
    assert pick(EndpointRoute("wine"), 0.5) is None


# --- compile


def test_what_has_not_changed_is_not_compiled_anew_and_the_table_is_the_same() -> None:
    known: dict[str, Leads] = {}
    first = compile_table([SPLIT, IRIS], AGENT, known)
    renamed = replace(IRIS, name="lily")
    second = compile_table([SPLIT, renamed], AGENT, known)
    assert second.endpoints["wine"] is first.endpoints["wine"]
    assert second == compile_table([SPLIT, renamed], AGENT) != first
    assert compile_table([SPLIT], AGENT, known) == compile_table([SPLIT], AGENT)
    assert known.keys() == {SPLIT.id}
    assert compile_table([SPLIT], "/run/other.sock", known) == compile_table([SPLIT], "/run/other.sock")


def test_the_table_has_weights_and_every_served_name() -> None:
    route = route_of(SPLIT)
    assert route.weights == ((rid(SPLIT, A), 90), (rid(SPLIT, B), 10))
    assert route.served == {"a": rid(SPLIT, A), "b": rid(SPLIT, B), "c": rid(SPLIT, C)}
    assert not route.unavailable


def test_a_revisions_route_tells_how_to_treat_its_requests() -> None:
    careful = an_entity("careful", timeout_seconds=5.0, retry_on_crash=False)
    endpoint = a_created_endpoint(a_config(careful)).promoted(1.0)
    [route] = compile_table([endpoint], AGENT).revisions.values()
    assert (route.agent, route.timeout_seconds, route.retry_on_crash) == (AGENT, 5.0, False)
    assert (route.revision, route.endpoint, route.served_entity) == (rid(endpoint, careful), "wine", "careful")


def test_only_the_active_configuration_is_routed() -> None:
    updating = SPLIT.with_update(a_config(an_entity("d"), version=2), 2.0)
    assert route_of(updating) == route_of(SPLIT)


def test_a_failed_update_changes_no_route() -> None:
    updating = SPLIT.with_update(a_config(an_entity("d"), version=2), 2.0)
    assert route_of(updating.update_failed("No.")) == route_of(SPLIT)


def test_a_new_endpoint_says_that_waiting_helps() -> None:
    route = route_of(a_created_endpoint())
    assert (route.unavailable, route.failed) == ("Endpoint 'wine' is being created.", False)


def test_an_endpoint_that_never_came_up_says_why() -> None:
    route = route_of(a_created_endpoint().update_failed("No module named 'x'."))
    assert (route.unavailable, route.failed) == ("Endpoint 'wine' does not serve: No module named 'x'.", True)


def test_a_deleted_endpoint_is_gone() -> None:
    table = compile_table([replace(SPLIT, deleted_at=5.0)], AGENT)
    assert (table.endpoints, table.revisions) == ({}, {})


# --- replays

UPDATING = IRIS.with_update(a_config(an_entity("new", version="2"), version=2), 2.0)
REPLAYS = {UPDATING.id: replays_of(UPDATING, GateDefaults())}


def test_what_is_to_be_tried_is_known_and_no_route_leads_there() -> None:
    table = compile_table([UPDATING, SPLIT], AGENT, replays=REPLAYS)
    [replay] = table.replays
    route = table.revisions[replay.candidate]
    assert (route.endpoint, route.served_entity, route.agent) == ("iris", "new", AGENT)
    plain = compile_table([UPDATING, SPLIT], AGENT)
    assert table.endpoints == plain.endpoints
    assert table.revisions.keys() - plain.revisions.keys() == {replay.candidate}
    assert plain.replays == ()


def test_what_nobody_waits_for_any_more_is_not_tried() -> None:
    for endpoint in (UPDATING.promoted(3.0), UPDATING.update_failed("No."), replace(UPDATING, deleted_at=3.0)):
        assert compile_table([endpoint], AGENT, replays=REPLAYS) == compile_table([endpoint], AGENT)


def test_a_replay_changes_the_version_and_so_does_another_attempt() -> None:
    again = UPDATING.update_failed("No.").with_update(a_config(an_entity("new", version="2"), version=3), 3.0)
    tables = [
        compile_table([UPDATING], AGENT),
        compile_table([UPDATING], AGENT, replays=REPLAYS),
        compile_table([again], AGENT, replays={again.id: replays_of(again, GateDefaults())}),
    ]
    assert len({table.version for table in tables}) == 3
    known: dict[str, Leads] = {}
    assert [compile_table([UPDATING], AGENT, known, replays) for replays in (None, REPLAYS)] == tables[:2]


def test_an_endpoints_route_says_whether_its_requests_are_kept() -> None:
    assert route_of(IRIS).record is None
    for record in (True, False):
        assert route_of(replace(IRIS, gate=GatePolicy(record=record))).record is record


# --- version


def test_the_version_does_not_depend_on_the_order_of_endpoints() -> None:
    assert compile_table([SPLIT, IRIS], AGENT).version == compile_table([IRIS, SPLIT], AGENT).version


@pytest.mark.parametrize(
    ("endpoints", "agent"),
    [
        ([SPLIT], AGENT),
        ([SPLIT, IRIS, an_endpoint("other")], AGENT),
        ([SPLIT, IRIS], "/run/other.sock"),
        ([replace(SPLIT, active=a_config(A, B, C)), IRIS], AGENT),
        ([replace(SPLIT, deleted_at=1.0), IRIS], AGENT),
    ],
)
def test_any_other_content_has_another_version(endpoints: list[Endpoint], agent: str) -> None:
    assert compile_table(endpoints, agent).version != compile_table([SPLIT, IRIS], AGENT).version


def test_what_gateways_do_not_follow_does_not_change_the_version() -> None:
    noted = replace(SPLIT, description="The good one", tags=(("team", "a"),), updated_at=99.0, generation=7)
    assert compile_table([noted], AGENT).version == compile_table([SPLIT], AGENT).version
