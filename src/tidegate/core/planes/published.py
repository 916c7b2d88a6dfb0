"""What control sends down to a gateway: the newest route table, or the newest access table."""

from dataclasses import dataclass

from tidegate.core.access.access_table import AccessTable
from tidegate.core.planes.route_table import RouteTable


@dataclass(frozen=True, slots=True)
class Published:
    """A message of the link. It has one of the two: each changes by itself, and routes are larger by far."""

    routes: RouteTable | None = None
    access: AccessTable | None = None
