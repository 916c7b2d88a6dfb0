"""Who gets room, in tables. Sizes are in GB, times in seconds."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.endpoint.revision import ReplicaId, RevisionId
from tidegate.engines.scheduling.capacity import Admitted, Machine, MemoryUser, StartRequest, admit, eviction_order

A, B, C = RevisionId("a"), RevisionId("b"), RevisionId("c")
GB = 10**9


def user(revision: RevisionId, size: float, idle: float = 0.0, **changes: object) -> MemoryUser:
    base = MemoryUser(ReplicaId(f"r-{revision}"), revision, f"the-{revision}", int(size * GB), idle_seconds=idle)
    return replace(base, **changes)  # type: ignore[arg-type]


def request(revision: RevisionId, size: float = 1.0, *, awaited: bool = True) -> StartRequest:
    return StartRequest(revision, f"the-{revision}", int(size * GB), awaited)


def verdict(
    requests: list[StartRequest], users: list[MemoryUser], size: float = 4.0, templates: float = 0.0
) -> Admitted:
    return admit(requests, users, Machine(int(size * GB), 2), int(templates * GB))


def test_what_fits_starts() -> None:
    assert verdict([request(A), request(B)], [user(C, 2)]).admitted == (A, B)


def test_what_is_promised_is_not_promised_again() -> None:
    told = verdict([request(A), request(A), request(A)], [user(C, 2)])
    assert told.admitted == (A, A)
    assert set(told.refused) == {A}


def test_templates_use_memory_too() -> None:
    assert verdict([request(A)], [user(C, 2)], templates=1).admitted == (A,)
    assert verdict([request(A)], [user(C, 2.5)], templates=1).admitted == ()


@pytest.mark.parametrize(
    ("other", "awaited", "evicted"),
    [
        (user(B, 3.5, idle=5), True, True),
        (user(B, 3.5, idle=4.9), True, False),  # in use a moment ago
        (user(B, 3.5, idle=59), False, False),  # what nobody waits for is more patient
        (user(B, 3.5, idle=60), False, True),
        (user(B, 3.5, idle=999, stays=True), True, False),
        (user(B, 3.5, idle=5, parked=True), False, True),
        (user(B, 3.5, idle=4.9, parked=True), True, False),  # it answers what it had begun
        (user(A, 3.5, idle=999), True, False),  # not for another one of its own
    ],
)
def test_who_makes_room(other: MemoryUser, awaited: bool, evicted: bool) -> None:
    told = verdict([request(A, awaited=awaited)], [other])
    assert told.evicted == ({B: "the-a"} if evicted else {})
    assert bool(told.refused) is not evicted
    assert told.admitted == ()


def test_who_has_been_idle_longest_goes_first_and_no_more_than_are_needed() -> None:
    users = [user(A, 1, idle=10), user(B, 1, idle=30), user(C, 2, idle=20)]
    assert list(verdict([request(RevisionId("d"))], users).evicted) == [B]
    assert list(verdict([request(RevisionId("d"), 2)], users).evicted) == [C]  # the one before it would not do
    assert list(verdict([request(RevisionId("d"), 3)], users).evicted) == [B, C]


def test_what_is_parked_goes_before_all_others() -> None:
    users = [user(A, 2, idle=10, parked=True), user(B, 2, idle=30)]
    assert list(verdict([request(C)], users).evicted) == [A]
    assert list(verdict([request(C, 3)], users).evicted) == [A, B]


def test_the_order_in_which_revisions_would_go_is_told() -> None:
    users = [
        user(A, 1, idle=70),
        replace(user(B, 1, idle=6), parked=True),
        user(C, 1, idle=90),
        replace(user(RevisionId("stays"), 1, idle=500), stays=True),
        user(RevisionId("busy"), 1, idle=1),
    ]
    assert eviction_order(users) == (B, C, A)


def test_all_replicas_of_a_revision_go_together() -> None:
    users = [user(B, 2, idle=9), user(B, 2, idle=9, replica=ReplicaId("r2"))]
    assert verdict([request(A, 3)], users).evicted == {B: "the-a"}


def test_nobody_is_evicted_in_vain() -> None:
    told = verdict([request(A, 3)], [user(B, 1, idle=99), user(C, 3)])
    assert told.evicted == {}
    assert "'the-c' has 3.0 GB and was in use just now." in told.refused[A]


def test_room_on_its_way_is_waited_for_and_kept() -> None:
    leaving = user(B, 4, leaving=True)
    told = verdict([request(A, 3), request(C, 2)], [leaving, user(RevisionId("d"), 0.1, idle=99)], size=4.1)
    assert (told.admitted, told.evicted) == ((), {})
    assert set(told.refused) == {C}


def test_what_can_not_have_room_keeps_none_from_others() -> None:
    told = verdict([request(A, 3), request(C, 1)], [user(B, 2)])
    assert (told.admitted, set(told.refused)) == ((C,), {A})


def test_templates_give_what_idle_revisions_cannot() -> None:
    told = verdict([request(A, 3)], [user(B, 1, idle=99)], templates=2.5)
    assert told.evicted == {B: "the-a"}
    assert told.template_bytes == int(1.5 * GB)


def test_a_replica_that_is_to_be_replaced_goes_first_where_there_is_no_room_for_both() -> None:
    grown = user(A, 3.5, outgrown=True)
    assert verdict([request(A)], [grown]).drained == (grown.replica,)
    assert verdict([request(A)], [replace(grown, leaving=True)]).drained == ()
    assert verdict([request(A)], [grown], size=8).admitted == (A,)


def test_where_more_is_used_than_there_is_idle_revisions_go() -> None:
    assert verdict([], [user(A, 3), user(B, 2, idle=9)]).evicted == {B: ""}
    assert verdict([], [user(A, 3), user(B, 1, idle=9)]).evicted == {}


def test_the_sentence_says_what_does_not_fit_and_who_has_the_room() -> None:
    users = [user(B, 3, stays=True), user(C, 0.5)]
    assert verdict([request(A)], users).refused[A] == (
        "There is no room for a replica of 'the-a': it needs about 1.0 GB, and 500 MB of 4.0 GB are free. "
        "'the-b' has 3.0 GB and does not scale to zero. 'the-c' has 500 MB and was in use just now. "
        "Let an endpoint scale to zero, delete one, or add memory (engine.memory_gb_total)."
    )
    assert "It needs a machine with more memory." in verdict([request(A, 5)], []).refused[A]


SIZES = st.floats(0.01, 3)
USERS = st.lists(
    st.builds(user, st.sampled_from([A, B, C]), SIZES, st.sampled_from([0.0, 6.0, 99.0]), stays=st.booleans())
)
REQUESTS = st.lists(st.builds(request, st.sampled_from([A, B, C]), SIZES, awaited=st.booleans()))


@given(REQUESTS, USERS, st.floats(0, 2))
def test_never_more_is_admitted_than_is_free(
    requests: list[StartRequest], users: list[MemoryUser], templates: float
) -> None:
    told = verdict(requests, users, templates=templates)
    used = sum(t.memory_bytes for t in users) + int(templates * GB)
    sizes: dict[RevisionId, list[int]] = {}
    for one in requests:
        sizes.setdefault(one.revision, []).append(one.memory_bytes)
    least = sum(sum(sorted(sizes[r])[: told.admitted.count(r)]) for r in set(told.admitted))
    assert not told.admitted or used + least <= 4 * GB


@given(REQUESTS, USERS)
def test_nobody_goes_who_is_in_use_or_stays(requests: list[StartRequest], users: list[MemoryUser]) -> None:
    told = verdict(requests, users)
    for t in users:
        if t.revision in told.evicted:
            assert any(not o.stays and o.idle_seconds >= 5 for o in users if o.revision == t.revision)
