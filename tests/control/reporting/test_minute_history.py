"""The last hour by minutes, of what gateways report to a control that knows nothing else."""

from dataclasses import replace

from tests.control.house import CORES, Gateway, House, until
from tests.control.reporting.test_prometheus_metrics import a_ledger, report
from tidegate.core.planes.account import Account
from tidegate.core.scaling.minute import MinutePoint

MINUTE = 60.0


def minutes(house: House, name: str = "wine", since: float = 0.0) -> tuple[MinutePoint, ...]:
    return house.minutes.points(name, since, house.clock.now())


def counts(house: House, name: str = "wine") -> list[int]:
    return [point.requests for point in minutes(house, name)]


async def score(house: House, ok: int, bad: int = 0, name: str = "wine") -> None:
    """So many answers in all, and a gateway that has told so."""
    house.gateway.endpoints[name] = a_ledger(ok, bad)
    await report(house)


async def a_minute(house: House, count: int = 1) -> None:
    """Let minutes pass, and a report come that has nothing new."""
    house.clock.advance(count * MINUTE)
    house.gateway.refused[0] = seen = house.gateway.refused.get(0, 0) + 1
    house.gateway.report()
    await until(lambda: any(report.refused.get(0) == seen for report in house.gateways.reports))


async def known(house: House) -> None:
    """The gateway's first report has come."""
    await until(lambda: house.gateways.reports)


async def test_several_endpoints_are_told_together(house: House) -> None:
    await known(house)
    await score(house, 3)
    await score(house, 5, 2, "tea")
    await a_minute(house)
    await score(house, 7, 2, "tea")
    found = house.minutes.points_of(["tea", "wine", "milk"], 0.0, house.clock.now())
    assert [[point.requests for point in own] for own in found] == [[7, 2], [3, 0], [0, 0]]
    assert found[1] == minutes(house)


async def test_each_minute_has_what_came_in_it(house: House) -> None:
    await known(house)
    began = house.clock.now() // MINUTE * MINUTE
    for ok, bad in ((3, 0), (3, 0), (10, 2), (10, 2)):
        await score(house, ok, bad)
        await a_minute(house)
    await score(house, 11, 2)
    found = minutes(house)
    assert [point.at for point in found] == [began + MINUTE * number for number in range(5)]
    assert [(point.requests, point.errors_5xx) for point in found] == [(3, 0), (0, 0), (9, 2), (0, 0), (1, 0)]
    assert found[0].p50_ms == 0.25
    assert found[1] == MinutePoint(found[1].at)


async def test_what_was_counted_before_this_process_looked_is_not_this_minutes(house: House) -> None:
    await house.stop()
    house._assemble()
    await house.gateways.start()
    house.gateway = Gateway(house.data.planes_socket)
    house.gateway.endpoints["wine"] = a_ledger(1000)
    await house.gateway.connect()
    await known(house)
    late = Gateway(house.data.planes_socket, 1)
    await a_minute(house)
    house.gateway.endpoints["wine"] = a_ledger(1000)
    late.endpoints["wine"] = a_ledger(500)
    await late.connect()
    await until(lambda: len(house.gateways.reports) == 2)
    await a_minute(house)
    await score(house, 1004)
    assert counts(house) == [0, 0, 4]
    await late.close()


async def test_a_gateway_that_is_replaced_takes_nothing_back(house: House) -> None:
    await known(house)
    await score(house, 5)
    await house.gateway.close()
    await until(lambda: not house.gateways.reports)
    house.clock.advance(MINUTE)
    assert counts(house) == [5, 0]
    for ledger, ok in (("one", 7), ("another", 1)):
        house.gateway = Gateway(house.data.planes_socket, pid=2 if ledger == "one" else 3)
        house.gateway.ledger, house.gateway.endpoints["wine"] = ledger, a_ledger(ok)
        await house.gateway.connect()
        await known(house)
        if ledger == "one":
            await house.gateway.close()
            await until(lambda: not house.gateways.reports)
    assert counts(house) == [5, 3]


async def test_an_hour_is_kept_and_what_is_asked_for_is_told(house: House) -> None:
    await known(house)
    for number in range(1, 71):
        await score(house, number)
        await a_minute(house)
    assert counts(house) == [1] * 60 + [0]
    now = house.clock.now()
    assert len(house.minutes.points("wine", now - 5 * MINUTE, now)) == 6
    [point] = house.minutes.points("wine", now - 5 * MINUTE, now - 5 * MINUTE)
    assert point.at == (now - 5 * MINUTE) // MINUTE * MINUTE
    assert house.minutes.points("wine", now + MINUTE, now + 2 * MINUTE) == ()


async def test_nothing_is_kept_of_those_that_are_idle(house: House) -> None:
    await known(house)
    for number in range(1000):
        house.gateway.endpoints[f"e{number}"] = Account(cold_starts=1)
    await score(house, 1)
    for _ in range(3):
        await a_minute(house)
        assert sum(counts(house, "e7")) == 0
    assert house.minutes._points.keys() == {"wine"}
    await a_minute(house, 61)
    assert sum(counts(house)) == 0
    assert not house.minutes._points


async def test_a_clock_that_jumps_makes_no_negative_counts_and_loses_none_to_come(house: House) -> None:
    await known(house)
    await score(house, 5)
    house.clock._now += 600  # ahead
    await score(house, 7)
    assert counts(house) == [7, *[0] * 10]
    house.clock._now -= 30.0 + house.clock.now() % MINUTE  # back over a minute's edge
    await score(house, 8)
    assert counts(house)[-1] == 0 or sum(counts(house)) == 7
    house.clock.advance(30.0)
    assert counts(house) == [7, *[0] * 9, 1]
    house.clock._now -= 3600  # far back
    await score(house, 10)
    await a_minute(house)
    await score(house, 11)
    assert counts(house) == [3, 1]


async def test_cpu_memory_and_what_is_under_way(house: House) -> None:
    await house.create()
    await house.settle()
    await known(house)
    await use(house, cpu=100.0, memory=7)  # it is older than this process's first look: not this minute's
    await a_minute(house)
    await use(house, cpu=100.0 + 0.25 * 60 * CORES, memory=9)
    house.gateway.endpoints["wine"] = a_ledger(2)._replace(accepted=6)
    await report(house)
    house.gateway.endpoints["wine"] = a_ledger(4)
    await report(house)
    await a_minute(house)
    *_, before, point, _ = minutes(house)
    assert (before.cpu, before.memory_bytes) == (0.0, 7)
    assert (point.cpu, point.memory_bytes, point.concurrency) == (0.25, 9, 4.0)


async def use(house: House, cpu: float, memory: int) -> None:
    """Let the replica have used so much, and control see it."""
    ((rid, seen),) = house.engine.held.items()
    [replica] = seen.replicas
    replica = replace(replica, cpu_seconds=cpu, memory_bytes=memory, started_at=1.0)
    house.engine.held[rid] = replace(seen, replicas=(replica,))
    await house.passes(1)
