"""Whom a gateway knows: tokens against the newest access table, which outlives the gateway on disk."""

from pathlib import Path

import pytest

from tests.gateway.house import TOKEN, V1, house, until
from tidegate import http
from tidegate.core.access.access_table import AccessTable, access_table
from tidegate.core.access.principal import Principal
from tidegate.core.errors import Unauthenticated, Unavailable
from tidegate.gateway.scoring.token_check import TokenCheck


def look(check: TokenCheck, authorization: bytes | None) -> Principal:
    return check.check(b"POST", {} if authorization is None else {b"authorization": authorization})


def tokens(**principals: str) -> AccessTable:
    """A table of these tokens."""
    return access_table({http.token_hash(token): name for token, name in principals.items()}, {})


def test_before_the_first_table_nobody_is_known(tmp_path: Path) -> None:
    check = TokenCheck(tmp_path / "access.json")
    check.start()
    for header in (None, b"Bearer one"):
        with pytest.raises(Unavailable):
            look(check, header)


def test_callers_are_told_apart_and_forgotten_with_the_table(tmp_path: Path) -> None:
    check = TokenCheck(tmp_path / "access.json")
    check.follow(tokens(one="admin", two="maria"))
    for _ in range(2):
        assert look(check, b"Bearer one") == Principal("admin")
        assert look(check, b"bearer two ") == Principal("maria")
    check.follow(tokens(two="admin"))
    assert look(check, b"bearer two ") == Principal("admin")
    for header in (b"Bearer one", b"Bearer ", b"", None):
        with pytest.raises(Unauthenticated):
            look(check, header)


def test_a_saved_table_is_followed_at_the_start_and_a_broken_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "access.json"
    TokenCheck(file).follow(tokens(one="admin"))
    assert http.token_hash("one") in file.read_text()
    again = TokenCheck(file)
    again.start()
    assert look(again, b"Bearer one") == Principal("admin")
    file.write_text('{"version": 3')
    broken = TokenCheck(file)
    broken.start()
    assert broken.table is None


def test_a_full_disk_locks_nobody_out(tmp_path: Path) -> None:
    check = TokenCheck(tmp_path / "missing" / "access.json")
    check.follow(tokens(one="admin"))
    assert look(check, b"Bearer one") == Principal("admin")


async def test_access_changes_without_the_routes_and_outlives_the_gateway_while_control_is_away(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert (await h.score()).status_code == 200
        table = tokens(another="admin")
        h.control.publish_access(table)
        await until(lambda: h.control.reports[-1].access_version == table.version)
        assert h.control.reports[-1].route_version == "t1"
        assert (await h.score()).status_code == 401
        assert (await h.score(headers={"authorization": "Bearer another"})).status_code == 200
        await h.stop_gateway()
        await h.control.stop()
        h.run_gateway()
        assert (await h.score()).status_code == 401
        assert (await h.score(headers={"authorization": "Bearer another"})).status_code == 200
        assert TOKEN not in h.data.access_table(0).read_text()
