"""Who may do what."""

from itertools import product

import pytest

from tidegate.core.access import permissions
from tidegate.core.access.permissions import PLATFORM, Action, Kind, Refusal, Resource, check, may
from tidegate.core.access.principal import Principal
from tidegate.core.errors import NotFound, PermissionDenied

WINE = Resource(Kind.ENDPOINT, "wine")
RESOURCES = (PLATFORM, WINE, Resource(Kind.ENDPOINT), Resource(Kind.MODEL, "wine"))


@pytest.mark.parametrize(("action", "resource"), list(product(Action, RESOURCES)))
def test_the_administrator_may_do_everything_and_nobody_else_anything(action: Action, resource: Resource) -> None:
    for principal in (Principal("admin"), Principal("admin", "a-session")):
        assert may(principal, action, resource) is None
        check(principal, action, resource)
    for name in ("", "Admin", "maria"):
        assert may(Principal(name), action, resource) is not None
        with pytest.raises(PermissionDenied):
            check(Principal(name), action, resource)


def test_a_refusal_says_who_may_not_do_what() -> None:
    refusal = may(Principal("maria"), Action.MANAGE, WINE)
    assert refusal is not None
    assert refusal.sentence == "'maria' may not manage endpoint 'wine'. The administrator may."
    assert [str(resource) for resource in RESOURCES] == ["the platform", "endpoint 'wine'", "endpoints", "model 'wine'"]


def test_what_one_may_not_know_of_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permissions, "may", lambda *_: Refusal("No.", hidden=True))
    with pytest.raises(NotFound, match="There is no endpoint 'wine'"):
        check(Principal("maria"), Action.VIEW, WINE)
