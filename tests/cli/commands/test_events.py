"""`tidegate events`."""

import json
from datetime import datetime

from tests.cli.conftest import Cli
from tests.cli.platform import Platform


def test_what_happened_oldest_first(platform: Platform, cli: Cli) -> None:
    platform.have()
    header, *rows = (line.split("\t") for line in cli("events", "wine").stdout.splitlines())
    assert header == ["TIME", "TYPE", "MESSAGE"]
    assert [datetime.fromisoformat(row[0]).utcoffset() is None for row in rows] == [False] * len(rows)
    assert rows[0][1:] == ["created", "Endpoint 'wine' was created."]
    assert rows[-1][1:] == ["promoted", "Configuration 1 (wine/1) serves."]


def test_as_json(platform: Platform, cli: Cli) -> None:
    platform.have()
    first = json.loads(cli("events", "wine", "-o", "json").stdout)[0]
    assert first == {"timestamp": 1_700_000_000_000, "type": "created", "message": "Endpoint 'wine' was created."}


def test_of_no_endpoint(platform: Platform, cli: Cli) -> None:
    done = cli("events", "tea")
    assert (done.exit_code, done.stderr) == (
        1,
        "There is no endpoint 'tea'. See `tidegate list`, or make one with `tidegate launch`.\n",
    )
