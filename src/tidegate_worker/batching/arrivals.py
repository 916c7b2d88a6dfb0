"""A request that waits for its prediction. The queue holds those of all gateways in the order of their arrival."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Optional, Tuple

from tidegate_worker.fast.parser import Parsed
from tidegate_worker.ipc import wire
from tidegate_worker.ipc.gateway_connection import GatewayConnection

if TYPE_CHECKING:
    Queue = OrderedDict[Tuple[int, int], "QueuedRequest"]  # by file descriptor and request id

UNPARSED: Any = object()


class QueuedRequest:
    """A request that was not begun. `deadline` and `arrived` are monotonic seconds.

    `parsed` is UNPARSED until it is needed, and None where the stock path must answer. `bare`: see `mlflow1.Modern`.
    """

    __slots__ = ("arrived", "bare", "connection", "deadline", "parsed", "request")

    def __init__(self, connection: GatewayConnection, request: wire.Request, deadline: float, arrived: float) -> None:
        self.connection, self.request, self.deadline, self.arrived = connection, request, deadline, arrived
        self.parsed: Optional[Parsed] = UNPARSED
        self.bare = False

    @property
    def alone(self) -> bool:
        """Whether it must be predicted by itself."""
        return bool(self.request.flags & wire.ALONE)

    @property
    def rows(self) -> int:
        """The number of its rows; 0 where the stock path must answer."""
        return self.parsed.rows if self.parsed is not None else 0
