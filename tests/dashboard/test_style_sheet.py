"""The style sheet: a browser says nothing of a rule that it cannot read, and leaves out what comes after it."""

import re
from pathlib import Path

import tidegate.dashboard

SHEET = Path(tidegate.dashboard.__file__).parent / "static" / "app.css"


def test_each_block_is_closed_in_its_own_line_or_at_the_margin() -> None:
    depth = 0
    for number, line in enumerate(re.sub(r"/\*.*?\*/", "", SHEET.read_text("utf-8"), flags=re.DOTALL).splitlines(), 1):
        depth += line.count("{") - line.count("}")
        assert 0 <= depth <= 2, f"line {number}"
        assert not depth or line.endswith("{") or line.startswith(" "), f"line {number} begins inside a block"
    assert not depth
