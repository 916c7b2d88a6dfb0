"""What is touched is reported once; whatever a request ends with, the endpoint's sum balances."""

import contextlib
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.account import PAST, Account
from tidegate.core.planes.load_report import STATUSES, LoadReport
from tidegate.core.planes.route_table import RevisionRoute, RouteTable
from tidegate.core.series.series_point import WHOLE
from tidegate.gateway.metering.ledger import Ledger
from tidegate.gateway.metering.meter import EndpointMeter, Meter

STEPS = (b"", 0.0001, 0.0002, 0.0004, 0.0001, 0.25)
UNKNOWN = (b"", 0.0, 0.0, 0.0, 0.0, 0.0)


def a_meter(path: Path) -> Meter:
    return Meter(0, 1, Ledger(path))


def a_table(*served: tuple[str, str]) -> RouteTable:
    """A table that names these served entities of these endpoints."""
    routes = [
        RevisionRoute(RevisionId(f"{number:016}"), endpoint, "x", "/agent", 60.0, True, label=label)
        for number, (endpoint, label) in enumerate(served)
    ]
    return RouteTable("t", revisions={route.revision: route for route in routes})


def travelled(report: LoadReport) -> LoadReport:
    return msgspec.json.decode(msgspec.json.encode(report), type=LoadReport)


class Control:
    """The other end: completes the reports, as control does."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.sent = meter.report("t", {})
        self.known = travelled(self.sent)

    def hear(self) -> LoadReport:
        """Take the next report; what came."""
        made = self.meter.report("t", {}, whole=False)
        news = travelled(made.since(self.sent))
        self.sent, self.known = made, news.onto(self.known)
        return news


def do_something(wine: EndpointMeter, source: random.Random) -> None:
    """A step of some request."""
    entity, seconds = source.choice([WHOLE, "v1", "v2"]), source.lognormvariate(-6, 1)
    match source.randrange(8):
        case 0 | 1 | 2:
            wine.accept()
        case 3 | 4:
            steps = source.choice([STEPS, STEPS, UNKNOWN])
            wine[entity].answer_ok(seconds, seconds / 10, steps, source.randrange(99), source.randrange(99))
        case 5:
            close = source.choice([wine[entity].reject, wine[entity].time_out])
            close(source.choice(STATUSES[1:]), seconds)
            wine[entity].answer(source.choice(STATUSES[1:]), seconds, 7)
        case 6:
            wine[entity].leave()
        case _:
            wine[entity].wait_cold(first=source.random() < 0.5)
            wine[entity].start_cold(source.choice(["fork", "spawn"]), (0.1, 0.2, 0.3, 0.4, 1.0))


@pytest.mark.parametrize("seed", range(8))
def test_what_was_touched_completes_to_the_whole(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    meter = a_meter(tmp_path / "0.bin")
    control = Control(meter)
    for _ in range(60):
        for _ in range(source.randrange(12)):
            do_something(meter.endpoint(source.choice(["wine", "tea"])), source)
        if source.random() < 0.2:
            named = [(name, label) for name in ("wine", "tea") for label in ("v1", "v2") if source.random() < 0.5]
            meter.follow(a_table(*named))
        before = {name: account.accepted - account.in_flight for name, account in control.known.endpoints.items()}
        control.hear()
        for name, account in control.known.endpoints.items():
            assert account.accepted - account.in_flight >= before.get(name, 0)
        ledger = travelled(a_reader(meter))
        assert control.known.accounts == ledger.accounts
    assert any(PAST in accounts for accounts in control.known.accounts.values()) or seed


def a_reader(meter: Meter) -> LoadReport:
    """A report of everything, which takes no news away."""
    book = meter._ledger
    return LoadReport(0, 1, "t", {}, {name: book.accounts(name) for name in book.endpoints})


def test_only_what_was_touched_is_told(tmp_path: Path) -> None:
    meter = a_meter(tmp_path / "0.bin")
    for name in ("wine", "tea"):
        meter.endpoint(name).accept()
        meter.endpoint(name)["v1"].answer_ok(0.001, 0.0002, STEPS, 10, 5)
    control = Control(meter)
    assert control.hear().accounts == {}
    tea = control.known.accounts["tea"]
    meter.endpoint("wine").accept()
    news = control.hear()
    assert (news.accounts, news.accepted) == ({"wine": {}}, {"wine": 2})
    meter.endpoint("wine")["v1"].answer_ok(0.5, 0.0002, STEPS, 10, 5)
    news = control.hear()
    assert len(news.accounts["wine"]["v1"].cells) == 1
    assert len(control.known.accounts["wine"]["v1"].cells) == 2
    assert control.known.accounts["tea"] is tea


def test_a_version_has_its_own_steps_and_batches(tmp_path: Path) -> None:
    meter = a_meter(tmp_path / "0.bin")
    wine = meter.endpoint("wine")
    for _ in range(4):
        wine.accept()
        wine["v1"].answer_ok(0.002, 0.0005, STEPS, 10, 5)
    wine.accept()
    wine["v1"].answer_ok(0.009, 0.0005, UNKNOWN, 10, 5)
    wine.accept()
    wine["v1"].answer(400, 0.3, 10)
    account = meter.report("t", {}).accounts["wine"]["v1"]
    assert (account.answered, account.stepped, account.batches) == (6, 4, 1.0)
    assert account.steps == pytest.approx((0.002, 0.0004, 0.0008, 0.0016, 0.0004, 0.0028))
    assert sum(account.steps) == pytest.approx(4 * 0.002)
    assert account.latency_sum == pytest.approx(0.317)
    assert account.accepted == 0


def test_cold_starts_are_counted_by_version_mode_and_phase(tmp_path: Path) -> None:
    path = tmp_path / "0.bin"
    wine = a_meter(path).endpoint("wine")
    wine["v1"].start_cold("fork", (0.1, 0.2, 0.3, 0.4, 1.0))
    wine["v1"].start_cold("fork", (0.1, 0.2, 0.3, 0.4, 1.0))
    wine["v2"].start_cold("spawn", (0.0, 0.0, 5.0, 0.0, 5.0))
    told = a_meter(path).report("t", {}).accounts["wine"]  # a successor's
    assert told["v1"].cold.keys() == {f"fork {phase}" for phase in ("queue", "template", "load", "first", "total")}
    assert told["v1"].cold["fork total"] == (2, 2.0)
    assert told["v2"].cold["spawn load"] == (1, 5.0)


def test_accounts_that_no_route_names_become_one(tmp_path: Path) -> None:
    path = tmp_path / "0.bin"
    meter = a_meter(path)
    wine, labels = meter.endpoint("wine"), [f"v{number}" for number in range(30)]
    for label in labels:
        wine.accept()
        wine[label].answer_ok(0.001, 0.0001, STEPS, 1, 1)
    control = Control(meter)
    before = control.known.endpoints["wine"]
    meter.follow(a_table(("wine", "v7"), ("tea", "v8")))
    closed: list[tuple[str, str]] = []
    for _ in range(10):
        closed += control.hear().closed
        same(control.known.endpoints["wine"], before)
    assert sorted(closed) == sorted(("wine", label) for label in labels if label != "v7")
    assert control.known.accounts["wine"].keys() == {WHOLE, "v7", PAST}
    same(a_meter(path).report("t", {}).endpoints["wine"], before)  # a successor reads the same
    wine.accept()
    wine["v3"].answer_ok(0.002, 0.0001, STEPS, 1, 1)  # it ended late
    control.hear()
    assert control.known.accounts["wine"]["v3"].answered == 1
    assert control.known.endpoints["wine"].answered == 31


def test_a_year_of_daily_versions_takes_no_more_room(tmp_path: Path) -> None:
    path = tmp_path / "0.bin"
    meter = a_meter(path)
    wine = meter.endpoint("wine")
    for day in range(365):
        meter.follow(a_table(("wine", f"v{day}"), ("wine", f"v{day - 1}")))
        wine.accept()
        wine[f"v{day}"].answer_ok(0.001, 0.0001, STEPS, 1, 1)
        for _ in range(2):
            meter.report("t", {}, whole=False)
    assert path.stat().st_size < 32 * 6400 + 1
    assert meter.report("t", {}).endpoints["wine"].answered == 365


def same(one: Account, other: Account) -> None:
    """The same account, but for the order in which its seconds were added."""
    for a, b in zip(one, other, strict=True):
        assert a == (pytest.approx(b) if isinstance(b, float | tuple) else b)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("store", range(16))
def test_a_kill_at_any_store_of_a_merge_counts_everything_once(
    tmp_path: Path, store: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "0.bin"
    meter = a_meter(path)
    for label in ("v1", "v2"):
        meter.endpoint("wine").accept()
        meter.endpoint("wine")[label].answer_ok(0.001, 0.0001, STEPS, 1, 1)
    book = Ledger(path)
    book.merge("wine", "v1")
    before = Meter(0, 1, book).report("t", {}).endpoints["wine"]
    left = [store]
    real = book._file.record

    def record(place: int) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return real(place)

    monkeypatch.setattr(book._file, "record", record)
    with contextlib.suppress(Killed):
        book.merge("wine", "v2")
    same(a_meter(path).report("t", {}).endpoints["wine"], before)


def test_a_whole_report_in_parts_loses_nothing_that_is_touched_meanwhile(tmp_path: Path) -> None:
    meter = a_meter(tmp_path / "0.bin")
    for number in range(250):
        meter.endpoint(f"e{number}").accept()
        meter.endpoint(f"e{number}")["v1"].answer_ok(0.001, 0.0001, STEPS, 1, 1)
    known: dict[str, Any] = {}
    for part in meter.parts():
        assert sum(map(len, part.values())) <= 101
        known |= part
        for number in (0, 249):  # one that was told already, and one that was not
            meter.endpoint(f"e{number}").accept()
            meter.endpoint(f"e{number}")["v2"].answer_ok(0.002, 0.0001, STEPS, 1, 1)
    control = meter.report("t", {}, whole=False).onto(meter.end("t", {}, known))
    assert control.accounts == a_reader(meter).accounts
