"""What several gateways found in a replay, together."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.rollout.replay import Findings, Memory, Replay, Times, together

OLD, NEW = RevisionId("a" * 16), RevisionId("b" * 16)
ONE, TWO = (Replay(identity, "wine", NEW, OLD, 0.5) for identity in ("1", "2"))
COUNTS = ("requests", "compared", "exact", "close", "changed", "new_nulls", "errors", "crashes", "hangs")

FOUND = st.builds(
    Findings,
    st.just("1"),
    **{name: st.integers(0, 9) for name in COUNTS},
    largest_difference=st.floats(0, 2),
    error=st.sampled_from(["", "ValueError: no", "KeyError: x"]),
    before=st.dictionaries(st.sampled_from("ab"), st.frozensets(st.sampled_from(["float", "string"]), min_size=1)),
    seconds=st.floats(0, 9),
)

SMALL = Findings("1", requests=2, errors=1, error="ValueError: no", baseline=Times(0.1, 2), memory=Memory(1, (2,)))
LARGE = Findings(
    "1",
    requests=3,
    compared=3,
    exact=2,
    changed=1,
    largest_difference=0.5,
    rows=(2, 1),
    crash="It ended.",
    before={"a": frozenset({"float"})},
    baseline=Times(0.2, 3),
    memory=Memory(5, (6,)),
    seconds=0.7,
)


def test_counts_add_up_and_times_and_memory_are_those_of_who_asked_more() -> None:
    whole = replace(LARGE, requests=5, errors=1, error="ValueError: no")
    assert SMALL.plus(LARGE) == LARGE.plus(SMALL) == whole


@given(FOUND, FOUND, FOUND)
def test_what_is_added_up_does_not_depend_on_how(one: Findings, two: Findings, three: Findings) -> None:
    whole, other = one.plus(two).plus(three), one.plus(two.plus(three))
    for name in (*COUNTS, "largest_difference", "error", "before", "seconds"):
        assert getattr(whole, name) == getattr(other, name)
    assert whole.requests == one.requests + two.requests + three.requests
    assert bool(whole.error) == any((one.error, two.error, three.error))


def test_the_first_sentence_stays() -> None:
    later = replace(SMALL, error="KeyError: x", unavailable="It is away.")
    assert (SMALL.plus(later).error, SMALL.plus(later).unavailable) == ("ValueError: no", "It is away.")


def test_a_replay_is_done_when_every_gateway_has_done_it() -> None:
    reports = [{"1": SMALL, "2": replace(SMALL, id="2")}, {"1": LARGE}]
    assert together([ONE, TWO], reports, all_of_them=True) == {"1": SMALL.plus(LARGE)}
    assert together([ONE, TWO], reports[:1], all_of_them=True) == reports[0]


def test_who_is_not_waited_for_any_longer_counts_for_nothing() -> None:
    assert together([ONE, TWO], [{"1": SMALL}, {}], all_of_them=False) == {"1": SMALL, "2": Findings("2")}


def test_where_no_gateway_has_told_anything_nothing_is_found() -> None:
    assert together([ONE], [], all_of_them=False) == {"1": Findings("1")}
    assert together([], [{"1": SMALL}], all_of_them=True) == {}
