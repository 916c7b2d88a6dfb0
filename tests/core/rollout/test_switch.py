"""What is on record of a switch."""

from tests.core.examples import a_config, a_created_endpoint, an_entity
from tidegate.core.endpoint.endpoint import FOLLOWER, ROLLBACK, Route
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.rollout.switch import Side, Switch, switch_of

CREATED = a_created_endpoint()
FIRST = Side(1, {"wine-1": ModelVersion("wine", "1")}, {"wine-1": 100})
SECOND = Side(2, {"wine-2": ModelVersion("wine", "2")}, {"wine-2": 100})
UPDATING = CREATED.promoted(1.0).with_update(a_config(an_entity("wine-2", version="2"), version=2), 2.0, FOLLOWER)


def test_the_first_switch_comes_from_nothing_and_its_creator() -> None:
    switch = switch_of(CREATED.let_through(5.0))
    assert switch == Switch(CREATED.id, 5.0, "admin", None, FIRST)
    assert (switch.kind, switch.sentence) == ("promoted", "Configuration 1 (wine/1) serves.")


def test_an_update_is_on_record_with_who_asked_and_what_the_gate_found() -> None:
    switch = switch_of(UPDATING.let_through(5.0, '{"passed": true}'))
    assert switch == Switch(CREATED.id, 5.0, FOLLOWER, FIRST, SECOND, '{"passed": true}')
    assert (switch.kind, switch.sentence) == ("promoted", "Configuration 2 (wine/2) serves.")


def test_a_rollback_says_so() -> None:
    switch = switch_of(UPDATING.promoted(3.0).rolled_back(4.0).let_through(5.0))
    assert switch == Switch(CREATED.id, 5.0, ROLLBACK, SECOND, FIRST)
    assert switch.kind == "rolled_back"
    assert switch.sentence == "Configuration 1 (wine/1) serves again, in place of Configuration 2 (wine/2)."


def test_a_change_of_the_traffic_alone_is_told() -> None:
    both = (an_entity("a", version="1"), an_entity("b", version="2"), an_entity("c", version="2"))
    routes = [(Route("a", 100 - share), Route("b", share), Route("c", 0)) for share in (10, 60)]
    first, second = (a_config(*both, routes=one, version=number) for number, one in enumerate(routes, 1))
    switch = switch_of(a_created_endpoint(first).promoted(1.0).with_update(second, 2.0).let_through(3.0))
    assert switch.before is not None
    assert (switch.before.versions, switch.before.shares["b"]) == (switch.after.versions, 10)
    assert str(switch.before) == "Configuration 1 (wine/1 90 %, wine/2 10 %)"
    assert switch.sentence == "Configuration 2 (wine/1 40 %, wine/2 60 %) serves."


def test_an_older_record_has_no_shares() -> None:
    assert str(Side(1, {"a": ModelVersion("wine", "1"), "b": ModelVersion("wine", "2")})) == (
        "Configuration 1 (wine/1, wine/2)"
    )
