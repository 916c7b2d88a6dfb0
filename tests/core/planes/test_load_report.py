"""The values that gateways report."""

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.load_report import LATENCY_BUCKETS, EndpointLedger, LoadReport, RevisionLoad


def test_the_latency_buckets_rise() -> None:
    assert list(LATENCY_BUCKETS) == sorted(set(LATENCY_BUCKETS))
    assert LATENCY_BUCKETS[0] > 0


def test_the_buckets_reach_the_longest_request() -> None:
    assert LATENCY_BUCKETS[-1] >= 60


def test_a_new_ledger_balances() -> None:
    ledger = EndpointLedger()
    gone = ledger.answered + ledger.rejected + ledger.timed_out + ledger.client_gone + ledger.lost + ledger.in_flight
    assert ledger.accepted == gone == 0


def test_reports_do_not_share_their_maps() -> None:
    assert LoadReport(0, 1, "").endpoints is not LoadReport(1, 2, "").endpoints


def test_what_has_changed_put_onto_what_was_before_is_the_whole() -> None:
    a, b, c = (RevisionId(name) for name in "abc")
    before = LoadReport(
        0, 1, "t1", {a: RevisionLoad(1), b: RevisionLoad(2)}, {"x": EndpointLedger(1), "y": EndpointLedger()}
    )
    after = LoadReport(
        0, 1, "t2", {a: RevisionLoad(1), c: RevisionLoad()}, {"x": EndpointLedger(2), "y": EndpointLedger()}
    )
    changes = after.since(before)
    assert (changes.revisions, changes.endpoints) == ({c: RevisionLoad()}, {"x": EndpointLedger(2)})
    assert changes.onto(before) == after
