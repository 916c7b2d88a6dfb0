"""What is written for uv, whatever the checks of a model's requirements let through."""

import pytest

from tidegate.adapters.environments.package_locks import files_with
from tidegate.core.errors import BuildFailed


@pytest.mark.parametrize("end", ["\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0"])
def test_uv_reads_no_line_that_was_not_checked(end: str) -> None:
    for contents in ([[f"alpha{end}-r /etc/passwd"]], [[], ["alpha", f"beta{end}"]]):
        with pytest.raises(BuildFailed, match="has a line end or another control character"), files_with(*contents):
            raise AssertionError("written")


def test_lines_are_written_as_they_are() -> None:
    with files_with(["alpha", "\tbeta ü"], []) as (some, none):
        assert (some.read_text(), none.read_text()) == ("alpha\n\tbeta ü\n", "")
