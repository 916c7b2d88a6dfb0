"""`tidegate doctor`: is this machine fit, and does the server answer?"""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tidegate.cli.connected import connected
from tidegate.cli.failure import Failure
from tidegate.cli.output import Format, OutputOption, print_json, print_table

if TYPE_CHECKING:
    from tidegate.cli.checks import Check
    from tidegate.cli.client import Client


@connected
def doctor(client: "Client", output: OutputOption = Format.TABLE) -> None:
    """Check this machine and the server. Says what to do about each fault."""
    found = list(_checks(client))
    if output is Format.JSON:
        print_json([{"subject": c.subject, "fine": c.fine, "found": c.found, "advice": c.advice} for c in found])
    else:
        print_table(
            ("", "CHECK", "FOUND", "WHAT TO DO"),
            [("✓" if each.fine else "✗", each.subject, each.found, each.advice) for each in found],
        )
    if wrong := [each.subject for each in found if not each.fine]:
        raise Failure(f"These checks failed: {', '.join(wrong)}.")


def _checks(client: "Client") -> "Iterable[Check]":
    from tidegate import settings_loading
    from tidegate.cli import checks
    from tidegate.cli.commands.up import settings_file
    from tidegate.core.errors import ConfigurationError
    from tidegate.data_directory import DataDirectory
    from tidegate.settings import Settings

    try:
        current = settings_loading.load(os.environ, settings_file(None))
    except ConfigurationError as error:
        yield checks.Check("settings", "cannot be used", error.message)
        current = Settings()
    data = DataDirectory(client.server.data_dir)
    yield from checks.machine(current, data)
    yield from checks.server(client, current)
