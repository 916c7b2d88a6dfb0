"""What the blocks of the store say: minutes of a shard, hours of an endpoint."""

import logging
from collections.abc import Iterable

from tidegate.core.series.point_table import PointTable
from tidegate.core.series.series_codec import SMALL, DamagedSeries, chained, encode, tables
from tidegate.ports import PackedHour
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

JOINT = "\n"
"""Stands between an endpoint's name and a served entity's in the keys of a minute's rows."""

QUARTER = 900.0


def readable(chain: bytes) -> list[PointTable]:
    """The tables of a chain that can be read. A damaged one is told of once, and left out."""
    found: list[PointTable] = []
    try:
        found.extend(tables(chain))
    except DamagedSeries as error:
        logger.warning("stored series are damaged; left out", extra=fields(error=error))
    return found


def packed_hours(chains: Iterable[bytes]) -> list[PackedHour]:
    """The hours of all endpoints in the minutes of a shard."""
    minutes: dict[str, PointTable] = {}
    for chain in chains:
        for table in readable(chain):
            for key, point in table.rows():
                endpoint, _, entity = key.partition(JOINT)
                minutes.setdefault(endpoint, PointTable()).add(entity, point)
    return [PackedHour(endpoint, *packed_hour(table)) for endpoint, table in minutes.items()]


def packed_hour(minutes: PointTable) -> tuple[bytes, bytes]:
    """An endpoint's minutes of an hour, and its quarters, as chains."""
    quarters = PointTable()
    for key in minutes.keys:
        for point in minutes.condensed(QUARTER, {key}, known=lambda _: QUARTER):
            quarters.add(key, point)
    return chained(encode(minutes, SMALL)), chained(encode(quarters, SMALL))


def rows_of(table: PointTable, endpoint: str) -> PointTable:
    """The rows of one endpoint in a minute of its shard, with served entities as keys."""
    found, prefix = PointTable(), endpoint + JOINT
    for key, point in table.rows({key for key in table.keys if key.startswith(prefix)}):
        found.add(key[len(prefix) :], point)
    return found
