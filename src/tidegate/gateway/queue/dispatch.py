"""Which replica gets which of the waiting requests. Idle replicas come first, and the groups are even."""

from tidegate.gateway.queue.backlog import Backlog
from tidegate.gateway.queue.lane import Lane
from tidegate.gateway.queue.pending import Pending
from tidegate_worker.ipc import wire


def send(waiting: Backlog, lanes: list[Lane], now: float) -> None:
    """Send what waits to these lanes. Each of them has credit."""
    lanes = _send_alone(waiting, lanes, now)
    _spread(waiting, [lane for lane in lanes if not lane.busy], now)
    _spread(waiting, [lane for lane in lanes if lane.free], now)


def _send_alone(waiting: Backlog, lanes: list[Lane], now: float) -> list[Lane]:
    """Send the requests that must be alone and are next to replicas with nothing in flight. Returns the other lanes.

    If no replica is empty, the least busy one gets nothing more until it is.
    """
    while lanes and (request := waiting.first(alone=True)) is not None:
        other = waiting.first(alone=False)
        if other is not None and other.turn < request.turn:
            break
        lane = min(lanes, key=lambda lane: (lane.busy, len(lane.in_flight)))
        lanes.remove(lane)
        if lane.busy:
            break
        lane.send([waiting.pop(alone=True)], now)
    return lanes


def _spread(waiting: Backlog, lanes: list[Lane], now: float) -> None:
    while lanes and waiting.first(alone=False) is not None:
        share = -(-waiting.count // len(lanes))
        for lane in lanes:
            _send_group(waiting, lane, min(share, lane.group), now)
        lanes = [lane for lane in lanes if lane.free]


def _send_group(waiting: Backlog, lane: Lane, most: int, now: float) -> None:
    group: list[Pending] = []
    size = 0
    while len(group) < most and (request := waiting.first(alone=False)) is not None:
        size += len(request.body)
        if group and size > wire.MAX_GROUP_BYTES:
            break
        group.append(waiting.pop(alone=False))
    if group:
        lane.send(group, now)
