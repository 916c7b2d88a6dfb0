"""Lines of a log as a page shows them."""

import pytest

from tidegate.dashboard.pages.endpoint.log_lines import (
    LONGEST_LINE,
    Line,
    first_error,
    matching,
    plain_lines,
    shown_lines,
)


def test_terminal_codes_and_what_was_written_over_are_left_out() -> None:
    text = "\x1b[1;31mred\x1b[0m \x1b]0;title\x07end\r\n10 %\r50 %\r100 %\na\tb\0c\x7f\n"
    assert plain_lines(text) == ["red end", "100 %", "a\tbc"]
    assert plain_lines("") == []
    assert plain_lines("x\n\ny") == ["x", "", "y"]
    assert len(plain_lines("x" * 10**6)[0]) == LONGEST_LINE + 2


def test_what_is_looked_for_is_marked_in_either_case() -> None:
    assert matching(["A wine", "beer"], "WINE") == ["A wine"]
    assert shown_lines(["Wine, wine."], "wine") == (
        Line((("Wine", True), (", ", False), ("wine", True), (".", False)), is_error=False),
    )
    assert shown_lines(["a.c abc"], "a.c")[0].parts == (("a.c", True), (" abc", False))
    assert shown_lines(["", "x"], "")[1].parts == (("x", False),)


@pytest.mark.parametrize(
    ("line", "is_error"),
    [
        ("ValueError: no", True),
        ("12:00 ERROR no", True),
        ("Traceback (most recent call last):", True),
        ("The environment could not be built.", True),
        ("0 terrors, mirrored, unfailed", False),
        ("errors=0", False),
    ],
)
def test_a_line_that_tells_of_an_error_is_known(line: str, is_error: bool) -> None:
    assert shown_lines([line], "")[0].is_error is is_error
    assert first_error(["fine", line]) == (line if is_error else "")
