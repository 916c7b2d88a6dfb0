"""How often somebody may send a wrong token to the log-in."""

import ipaddress
from collections import deque

MOST, SECONDS = 10, 60.0
"""So many wrong tries of an address are taken in so many seconds."""
# More addresses than these are not remembered: those that tried first are forgotten.
_ADDRESSES = 10_000


class WrongTries:
    """The newest wrong tries of each address. A network of IPv6 (/64) counts as one address: it has one owner."""

    def __init__(self) -> None:
        self._tries: dict[str, deque[float]] = {}  # monotonic seconds, oldest first

    def seconds_to_wait(self, address: str, now: float) -> float:
        """How long this address has to wait before its next try; 0 if it may try now."""
        tries = self._tries.get(_owner(address))
        return max(0.0, tries[0] + SECONDS - now) if tries is not None and len(tries) == MOST else 0.0

    def add(self, address: str, now: float) -> None:
        """Note a wrong try."""
        owner = _owner(address)
        tries = self._tries.pop(owner, None) or deque(maxlen=MOST)
        tries.append(now)
        self._tries[owner] = tries
        if len(self._tries) > _ADDRESSES:
            del self._tries[next(iter(self._tries))]


def _owner(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
