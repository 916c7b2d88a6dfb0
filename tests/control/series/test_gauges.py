"""Gauges of replicas: how they become points, and what requests wait."""

from dataclasses import replace
from typing import Any

import pytest

from tests.control.house import House
from tests.control.series.scene import Scene
from tidegate.control.series.endpoint_track import EndpointTrack
from tidegate.control.series.gauges import Gauge, ReplicaGauges, waiting
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.account import Account
from tidegate.core.planes.load_report import LoadReport, RevisionLoad
from tidegate.core.series.series_point import WHOLE

RID = RevisionId("0123456789abcdef")


async def test_replicas_their_memory_their_cpu_and_what_is_wanted(house: House) -> None:
    await house.create()
    await house.settle()
    ((rid, seen),) = house.engine.held.items()
    revisions = house.control.world.snapshot.revisions
    gauges = ReplicaGauges()

    def look(cpu: float, now: float) -> dict[Any, Gauge]:
        [replica] = seen.replicas
        used = replace(seen, replicas=(replace(replica, memory_bytes=7, cpu_seconds=cpu),))
        return gauges.look({rid: used}, revisions, {rid: 2}, now)

    assert look(100.0, 10.0) == {("wine", "wine-1"): Gauge(1.0, 2.0, 7.0, 0.0)}
    assert look(101.0, 12.0)["wine", "wine-1"].cpu == 0.5
    assert look(101.0, 13.0)["wine", "wine-1"].cpu == 0.5  # not measured since
    assert look(101.0, 60.0)["wine", "wine-1"].cpu == 0.0
    assert gauges.look({}, revisions, {}, 61.0) == {}


def test_gauges_hold_until_they_change() -> None:
    track = EndpointTrack()
    track.stand(0.0, {"v": Gauge(1.0, 1.0, 100.0, 0.5)})
    track.stand(30.0, {"v": Gauge(3.0, 4.0, 300.0, 0.0)})
    [(entity, point)] = track.close(0)
    assert (entity, point.ready, point.wanted, point.memory_bytes) == ("v", 2.0, 2.5, 200.0)
    assert point.cpu_seconds == pytest.approx(15.0)
    first, *_, last = track.points(20.0, 40.0, 1.0, None, 0.0)
    assert (first.at, first.ready, first.cpu_seconds) == (20.0, 1.0, 0.5)
    assert (last.at, last.ready, last.cpu_seconds) == (39.0, 3.0, 0.0)
    track.stand(70.0, {})
    assert track.points(80.0, 81.0, 1.0, None, 0.0)[0].ready == 0.0


def test_a_little_noise_is_no_change() -> None:
    assert Gauge(1.0, 1.0, 1000.0, 0.5).is_like(Gauge(1.0, 1.0, 1005.0, 0.5))
    assert not Gauge(1.0, 1.0, 1000.0, 0.5).is_like(Gauge(1.0, 2.0, 1000.0, 0.5))
    assert not Gauge(1.0, 1.0, 1000.0, 0.5).is_like(Gauge(1.0, 1.0, 1100.0, 0.5))


def test_requests_under_way_add_up_over_gateways() -> None:
    one = LoadReport(0, 1, "", {RID: RevisionLoad(1, 2, 0.5)}, {"wine": {WHOLE: Account(accepted=9, answered=6)}})
    two = LoadReport(1, 1, "", {RID: RevisionLoad(2, 0, 0.0)}, {"wine": {WHOLE: Account(accepted=2)}})
    found = waiting([one, two], {RID: ("wine", "v")})
    assert (found["wine", "v"].in_flight, found["wine", "v"].queued) == (5, 2)
    assert (found["wine", "v"].oldest_seconds, found["wine", WHOLE].in_flight) == (0.5, 5)
    assert waiting([one], {}).keys() == {("wine", WHOLE)}


async def test_what_waits_is_seen_though_nothing_comes_or_goes() -> None:
    scene = Scene()
    await scene.second(2)
    scene.gateways[0].accounts["wine"] = {WHOLE: Account(accepted=4)}
    scene.gateways[0].touched["wine"] = {WHOLE: Account(accepted=4)}
    await scene.second(10)
    points = await scene.points(1.0)
    assert [point.in_flight for point in points][-8:-2] == [4] * 6
    assert sum(point.accepted for point in points) == 4
    [minute] = [point for point in await scene.points(60.0) if point.accepted]
    assert minute.in_flight == 4


async def test_the_reason_of_the_autoscaler_is_told(house: House) -> None:
    await house.create()
    await house.settle()
    [rid] = house.control.world.snapshot.revisions
    house.control.autoscaler.reasons[rid] = "a request came"
    assert house.control.series.why("wine") == {"wine-1": "a request came"}
    assert house.control.series.why("milk") == {}
