"""Sums that are made only when they are asked for are those of all accounts."""

from tidegate.control.publish.gateway_totals import Accounts, Totals
from tidegate.core.planes.account import Account
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.series.series_point import WHOLE

WINE, TEA = Account(accepted=3, statuses={200: 3}), Account(accepted=1)


def a_report(gateway: int, **endpoints: Account) -> LoadReport:
    return LoadReport(gateway, 1, "", {}, {name: {WHOLE: account} for name, account in endpoints.items()})


def test_an_endpoints_sum_is_that_of_the_totals() -> None:
    accounts = Accounts(Totals({"wine": WINE}), {0: a_report(0, wine=WINE, tea=TEA), 1: a_report(1, wine=WINE)})
    totals = accounts.totals()
    assert accounts.endpoint("wine") == totals.endpoints["wine"] == WINE.plus(WINE).plus(WINE)
    assert accounts.endpoint("tea") == totals.endpoints["tea"] == TEA
    assert accounts.endpoint("milk") is None
    assert accounts.plus(a_report(2, milk=TEA)).endpoint("milk") == TEA
