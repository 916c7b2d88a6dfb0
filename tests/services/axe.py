"""axe-core, which finds what keeps people from using a page: fetched as the dashboard's libraries are, for tests."""

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tidegate.dashboard.vendor_files import VendorFiles, main

AXE = VendorFiles(Path(sys.prefix) / "axe", {"axe-core": {"axe.min.js": "axe.min.js"}})


def violations(page: Page) -> list[str]:
    """What axe finds on a page, of any impact: the rule, and where. The context must bypass the policy of the page."""
    page.evaluate((AXE.folder / "axe.min.js").read_text())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']} ({violation['impact']}): {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), AXE))
