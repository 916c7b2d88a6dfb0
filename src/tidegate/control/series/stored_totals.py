"""The totals of all accounts as they were last stored: what a restarted control counts on from."""

from collections.abc import Iterable, Mapping
from zlib import crc32

from tidegate.core.planes.account import PAST, grown
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.series.point_table import PointTable
from tidegate.core.series.series_codec import chained, encode
from tidegate.core.series.series_point import SeriesPoint, less

SHARDS = 60
_JOINT = "\n"


def shard_of(endpoint: str) -> int:
    """The shard of an endpoint: also the minute in which its last hour is packed."""
    return crc32(endpoint.encode()) % SHARDS


def packed_totals(reports: Iterable[LoadReport], shards: Iterable[int], at: float) -> Mapping[int, bytes]:
    """The totals of these shards in reports, at this moment, as chains."""
    tables = {shard: PointTable() for shard in shards}
    for report in reports:
        for endpoint, accounts in report.accounts.items():
            if (table := tables.get(shard_of(endpoint))) is not None:
                for entity, account in accounts.items():
                    if entity != PAST:
                        table.add(_JOINT.join((report.ledger, endpoint, entity)), grown(account, None, at, 0.0))
    return {shard: chained(encode(table)) for shard, table in tables.items()}


class StoredTotals:
    """The totals that an earlier process has left.

    Those of what nobody used are not stored again. `until` is the end of the newest stored minute, unix seconds: they
    are known to have been the same then.
    """

    def __init__(self, tables: Iterable[PointTable], until: float = 0.0) -> None:
        self._until = until
        self._totals: dict[str, dict[tuple[str, str], SeriesPoint]] = {}  # by ledger, then by endpoint and entity
        self.at: dict[str, float] = {}  # when a ledger's totals were the last ones, unix seconds
        for table in tables:
            for key, total in table.rows():
                ledger, endpoint, entity = key.split(_JOINT, 2)
                self._totals.setdefault(ledger, {})[endpoint, entity] = total
                self.at[ledger] = max(total.at, self.at.get(ledger, 0.0))

    def since(self, report: LoadReport) -> tuple[float, list[tuple[str, str, SeriesPoint]]] | None:
        """What has come since the totals, by the first report with its ledger, and since when, unix seconds.

        None where nothing is known from before: the report then has nothing new. A ledger that was begun since is all
        new.
        """
        if not self.at:
            return None
        at = max(self._until, self.at.get(report.ledger, max(self.at.values())))
        before = self._totals.pop(report.ledger, {})
        found = []
        for endpoint, accounts in report.accounts.items():
            for entity, account in accounts.items():
                if entity != PAST:
                    total = grown(account, None, at, 0.0)
                    known = before.get((endpoint, entity))
                    found.append((endpoint, entity, total if known is None else less(total, known)))
        return at, found
