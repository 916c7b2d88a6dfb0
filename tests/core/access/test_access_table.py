"""The access table: its version, and its way over the link and to the disk."""

import msgspec

from tidegate.core.access.access_table import AccessTable, Grant, access_table

TOKENS, SESSIONS = {"a": "admin", "b": "maria"}, {"s": Grant("admin", 5.0), "t": Grant("maria", 6.5)}


def test_the_version_is_one_of_the_content_in_any_order() -> None:
    one = access_table(TOKENS, SESSIONS)
    other = access_table(dict(reversed(TOKENS.items())), dict(reversed(SESSIONS.items())))
    assert one == other
    versions = [
        one.version,
        access_table({}, {}).version,
        access_table({"a": "admin"}, SESSIONS).version,
        access_table({**TOKENS, "a": "maria"}, SESSIONS).version,
        access_table(TOKENS, {}).version,
        access_table(TOKENS, {**SESSIONS, "s": Grant("admin", 5.5)}).version,
        access_table(TOKENS, {**SESSIONS, "s": Grant("maria", 5.0)}).version,
    ]
    assert len({*versions, ""}) == len(versions) + 1


def test_it_comes_back_from_json_as_it_was() -> None:
    table = access_table(TOKENS, SESSIONS)
    assert msgspec.json.decode(msgspec.json.encode(table), type=AccessTable) == table
