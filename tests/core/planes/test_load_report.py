"""The values that gateways report."""

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.account import Account
from tidegate.core.planes.load_report import LoadReport, RevisionLoad
from tidegate.core.series.series_point import WHOLE


def test_reports_do_not_share_their_maps() -> None:
    assert LoadReport(0, 1, "").accounts is not LoadReport(1, 2, "").accounts


def test_what_has_changed_put_onto_what_was_before_is_the_whole() -> None:
    a, b, c = (RevisionId(name) for name in "abc")
    idle = {WHOLE: Account()}
    wine = {WHOLE: Account(7), "v1": Account(answered=5, cells={3: 4, 9: 1}), "v2": Account(answered=2)}
    before = LoadReport(0, 1, "t1", {a: RevisionLoad(1), b: RevisionLoad(2)}, {"wine": wine, "tea": idle})
    after = LoadReport(
        0,
        1,
        "t2",
        {a: RevisionLoad(1), c: RevisionLoad()},
        {"wine": {"v1": Account(answered=6, cells={9: 2, 11: 1})}},
        accepted={"wine": 8},
        closed=(("wine", "v2"),),
    )
    changes = after.since(before)
    assert (changes.revisions, changes.gone, changes.whole) == ({c: RevisionLoad()}, (b,), False)
    known = changes.onto(before)
    assert known.whole
    assert known.revisions == after.revisions
    assert known.accounts["wine"] == {WHOLE: Account(8), "v1": Account(answered=6, cells={3: 4, 9: 2, 11: 1})}
    assert known.accounts["tea"] is idle  # nobody looks at an endpoint without news
    assert before.accounts["wine"] == wine


def test_an_endpoints_figures_are_the_sum_of_its_accounts() -> None:
    served = Account(answered=5, statuses={200: 5}, cells={3: 5})
    report = LoadReport(0, 1, "", {}, {"wine": {WHOLE: Account(7, rejected=1, statuses={429: 1}), "v1": served}})
    whole = report.endpoints["wine"]
    assert (whole.accepted, whole.answered, whole.rejected, whole.in_flight) == (7, 5, 1, 1)
    assert whole.statuses == {200: 5, 429: 1}
