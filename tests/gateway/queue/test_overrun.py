"""When a replica is held up, and what is then asked of others."""

from tidegate.gateway.queue.overrun import UsualTime, moved
from tidegate.gateway.queue.pending import Pending


def sent(*groups: int, again: bool = False) -> list[Pending]:
    """Requests in flight, with the groups that they travelled in."""
    found = []
    for group in groups:
        request = Pending()
        request.group, request.moved = group, again
        found.append(request)
    return found


def test_what_is_usual_is_measured_and_one_that_takes_for_ever_hardly_changes_it() -> None:
    usual = UsualTime()
    assert not usual.is_held_up(0.9)  # the first prediction of all can be slow
    assert usual.is_held_up(1.1)
    assert not usual.overruns(1.9)
    usual.learn(0.002)
    assert not usual.is_held_up(0.09)
    assert usual.is_held_up(0.11)
    assert not usual.overruns(0.9)
    assert usual.overruns(1.1)
    usual.learn(3600.0)
    assert usual.seconds < 0.005
    for _ in range(20):
        usual.learn(1.0)  # it has become slower by far
    assert 0.8 < usual.seconds <= 1.0
    assert not usual.is_held_up(7.0)
    assert not usual.overruns(15.0)


def test_what_is_behind_goes_at_once_and_the_batch_when_it_overruns() -> None:
    one, two, behind = sent(1, 1, 2)
    assert moved([one, two, behind], overruns=False, others_batch_along=False) == ([behind], [])
    assert moved([one, two, behind], overruns=True, others_batch_along=False) == ([behind], [one, two])
    assert moved([], overruns=True, others_batch_along=False) == ((), ())


def test_one_that_was_followed_may_be_in_one_batch_with_what_came_after() -> None:
    first, behind = sent(1, 2)
    assert moved([first, behind], overruns=False, others_batch_along=False) == ([behind], [])
    assert moved([first, behind], overruns=True, others_batch_along=False) == ([behind], [first])


def test_one_by_itself_stays_unless_others_may_be_in_its_batch() -> None:
    [single] = sent(1)
    assert moved([single], overruns=True, others_batch_along=False) == ([], [])
    assert moved([single], overruns=False, others_batch_along=True) == ([], [])
    assert moved([single], overruns=True, others_batch_along=True) == ([], [single])
    single.alone = True  # then it was by itself
    assert moved([single], overruns=True, others_batch_along=True) == ([], [])


def test_what_is_taken_back_for_the_second_time_goes_by_itself() -> None:
    [single] = sent(1)
    [behind] = sent(2, again=True)
    assert moved([single, behind], overruns=False, others_batch_along=False) == ([], [behind])
