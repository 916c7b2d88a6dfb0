"""An upgrade takes over what was counted: a ledger of version 2 goes on as one of the present version."""

import struct
from pathlib import Path

import pytest

from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import LATENCY_BUCKETS
from tidegate.core.planes.load_report import STATUSES, LoadReport
from tidegate.core.series.series_point import WHOLE
from tidegate.gateway.metering.ledger import RECORD_BYTES, SEGMENT_BYTES, Ledger
from tidegate.gateway.metering.meter import Meter

ID = b"0123456789abcdef"
# accepted, answered, rejected, timed out, client gone, lost, microseconds, bytes in and out
COUNTS = (100, 80, 5, 3, 2, 1, 7_500_000, 4000, 900)


def a_record(name: str, counts: tuple[int, ...] = COUNTS) -> bytes:
    """An endpoint's record, with 70 predictions, 10 errors of the model, 8 of the platform, and 4 cold requests."""
    statuses = [70, *[0] * 11, 10, 5, 3]
    latencies = [0, 9, *[0] * 14, 79]
    return struct.pack("=64s43Q", name.encode(), *counts, *statuses, *latencies, 2, 4).ljust(512, b"\0")


def a_ledger(path: Path, *records: bytes, version: int = 2) -> None:
    head = struct.pack("=QII16s", 0x7264_6C65_7467_6474, version, 43, ID) + struct.pack("=15Q", *range(15))
    whole = b"".join([head.ljust(512, b"\0"), *records])
    path.write_bytes(whole.ljust(-(-len(whole) // 65536) * 65536, b"\0"))


def told(path: Path) -> LoadReport:
    return Meter(0, 1, Ledger(path)).report("", {})


def test_what_was_counted_before_an_upgrade_goes_on(tmp_path: Path) -> None:
    assert (len(STATUSES), len(LATENCY_BUCKETS)) == (15, 16)  # of version 2; a change of them needs a map of old cells
    path = tmp_path / "0.bin"
    names = [f"endpoint-{number}".ljust(63, "x") for number in range(200)]
    a_ledger(path, *map(a_record, names))
    for _ in range(2):  # the second time, it is of this version
        report = told(path)
        assert report.ledger == ID.decode()
        assert report.refused == {status: count for count, status in enumerate(STATUSES) if count}
        assert list(report.accounts) == names
        account = report.accounts[names[123]][WHOLE]
        assert account == Account(
            accepted=100,
            answered=80,
            rejected=5,
            timed_out=3,
            client_gone=2,
            lost=10,  # 9 were under way
            statuses={200: 70, 500: 10, 503: 5, 504: 3},
            coarse=(0, 9, *[0] * 14, 79),
            latency_sum=7.5,
            request_bytes=4000,
            response_bytes=900,
            cold_starts=2,
            cold_requests=4,
        )
        assert account.latency_counts == account.coarse
        assert account.in_flight == 0
    assert path.stat().st_size % SEGMENT_BYTES == 0
    assert path.stat().st_size >= 201 * RECORD_BYTES


def test_counts_of_both_versions_add_up(tmp_path: Path) -> None:
    path = tmp_path / "0.bin"
    a_ledger(path, a_record("wine"))
    meter = Meter(0, 1, Ledger(path))
    wine = meter.endpoint("wine")
    wine.accept()
    wine["v1"].answer_ok(0.0007, 0.0001, (b"", 0.0, 0.0, 0.0002, 0.0, 1.0), 10, 5)
    whole = meter.report("", {}).endpoints["wine"]
    assert (whole.accepted, whole.answered, whole.stepped) == (101, 81, 1)
    assert whole.latency_counts == (0, 10, *[0] * 14, 79)
    assert sum(whole.cells.values()) == 1
    assert whole.steps == pytest.approx((0.0001, 0, 0, 0.0002, 0, 0.0004))


@pytest.mark.parametrize("what", ["cut", "twice", "sums", "version"])
def test_one_that_makes_no_sense_is_set_aside(tmp_path: Path, what: str) -> None:
    path = tmp_path / "0.bin"
    records = [a_record("wine"), a_record("wine" if what == "twice" else "tea", (*COUNTS[:4], 20, *COUNTS[5:]))]
    a_ledger(path, *(records if what in ("twice", "sums") else records[:1]), version=1 if what == "version" else 2)
    if what == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    before = path.read_bytes()
    assert told(path).accounts == {}
    assert path.with_suffix(".unreadable").read_bytes() == before
