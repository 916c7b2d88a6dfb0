"""The one function that says who may do what. Every page and every route asks it.

Today there is one principal, the administrator, who may do everything.
"""

from dataclasses import dataclass
from enum import StrEnum

from tidegate.core.access.principal import ADMIN, Principal
from tidegate.core.errors import NotFound, PermissionDenied


class Action(StrEnum):
    """What somebody wants to do with a resource. The words follow those of Databricks' permissions."""

    VIEW = "view"  # see it, its figures and its logs
    QUERY = "query"  # have a model predict
    MANAGE = "manage"  # change it, roll it back, delete it, say who may do what with it
    CREATE = "create"  # make one that is not there yet
    ADMINISTER = "administer"  # what concerns everybody: users, the machine, all settings


class Kind(StrEnum):
    """The kinds of resources."""

    ENDPOINT = "endpoint"
    MODEL = "model"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource by its kind and name. Without a name it is all of that kind, as in a list."""

    kind: Kind
    name: str = ""

    def __str__(self) -> str:
        if self.kind is Kind.PLATFORM:
            return "the platform"
        return f"{self.kind} '{self.name}'" if self.name else f"{self.kind}s"


PLATFORM = Resource(Kind.PLATFORM)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody may not. `hidden` is whether they may not even learn that the resource is there."""

    sentence: str
    hidden: bool = False


def may(principal: Principal, action: Action, resource: Resource) -> Refusal | None:
    """Whether the principal may do this: None, or why not."""
    if principal.name == ADMIN:
        return None
    return Refusal(f"'{principal.name}' may not {action} {resource}. The administrator may.")


def check(principal: Principal, action: Action, resource: Resource) -> None:
    """Refuse what the principal may not do. Raises PermissionDenied, and NotFound where it would tell a name."""
    refusal = may(principal, action, resource)
    if refusal is not None:
        raise NotFound(f"There is no {resource}.") if refusal.hidden else PermissionDenied(refusal.sentence)
