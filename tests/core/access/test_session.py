"""How long a session holds."""

import pytest

from tidegate.core.access.session import LIFETIME_SECONDS, begun

HOUR = 3600.0
SESSION = begun("hash", "admin", "token", 1000.0)


def test_it_holds_for_twelve_hours() -> None:
    assert SESSION.expires_at == 1000.0 + 12 * HOUR == 1000.0 + LIFETIME_SECONDS
    assert not SESSION.is_over(SESSION.expires_at - 0.1)
    assert SESSION.is_over(SESSION.expires_at)


@pytest.mark.parametrize(("after", "prolonged"), [(0.0, False), (HOUR, False), (HOUR + 1, True), (11.5 * HOUR, True)])
def test_a_use_prolongs_it_when_less_than_eleven_hours_are_left(after: float, prolonged: bool) -> None:
    used = SESSION.used(1000.0 + after)
    assert (used is not SESSION) is prolonged
    if prolonged:
        assert used.expires_at == 1000.0 + after + 12 * HOUR
        assert used.created_at == 1000.0
