"""Where a log-in may lead to."""

import pytest

from tidegate.core.access.own_path import own_path


@pytest.mark.parametrize("path", ["/", "/endpoints/wine", "/endpoints?q=a%20b&sort=name", "/a//b", "/%2F/x", "/a:b@c"])
def test_a_page_of_its_own_stays(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "https:evil",
        "javascript:x", "evil", "/\tx", "/\t/evil.example", "/a\n/b", "/a b", "/a\\b", "/\x7f", "/é", " /a",
        "///evil.example", "/" + "a" * 2000,
    ],
)  # fmt: skip
def test_all_that_could_lead_elsewhere_leads_to_the_first_page(path: str) -> None:
    assert own_path(path) == "/"
