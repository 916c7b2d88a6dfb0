"""The connection of one gateway. Sending and receiving never block."""

import socket
from collections import deque
from typing import Deque, List, Tuple

from tidegate_worker.ipc import wire

# All connections read into this buffer, one after another. Their bytes are copied out at once.
_BUFFER = memoryview(bytearray(256 * 1024))
# The largest frame of a peer that has not identified itself.
_MAX_HELLO_BYTES = 4096


class Gone(Exception):
    """The peer has closed, or does not speak the protocol."""


class GatewayConnection:
    """A socket with its incomplete frame and its unsent bytes. `greeted`: the peer has identified itself by HELLO."""

    def __init__(self, sock: socket.socket, accepted_at: float) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.accepted_at = accepted_at  # monotonic seconds
        self.greeted = False
        self._frames = wire.Frames(_MAX_HELLO_BYTES)
        self._unsent: Deque[memoryview] = deque()

    def greet(self) -> None:
        """Take the peer as a gateway from now on."""
        self.greeted = True
        self._frames.max_bytes = wire.MAX_FRAME_BYTES

    def receive(self) -> List[Tuple[int, memoryview]]:
        """The frames that are complete now. Raises Gone."""
        room = self._frames.room
        try:
            count = self.socket.recv_into(_BUFFER if room is None else room)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise Gone(str(error)) from error
        if not count:
            raise Gone("it has closed")
        try:
            return self._frames.feed(bytes(_BUFFER[:count])) if room is None else self._frames.filled(count)
        except wire.WireError as error:
            raise Gone(str(error)) from error

    def send(self, data: bytes) -> None:
        """Send as much as the socket takes, and keep the rest. Raises Gone."""
        self._unsent.append(memoryview(data))
        if len(self._unsent) == 1:
            self.flush()

    def flush(self) -> None:
        """Send as much of the unsent bytes as the socket takes. Raises Gone."""
        while self._unsent:
            try:
                sent = self.socket.send(self._unsent[0])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise Gone(str(error)) from error
            if sent == len(self._unsent[0]):
                self._unsent.popleft()
            else:
                self._unsent[0] = self._unsent[0][sent:]

    @property
    def closed(self) -> bool:
        """Whether the replica has closed the connection."""
        return self.socket.fileno() < 0

    @property
    def has_unsent(self) -> bool:
        """Whether bytes wait for the socket to take them."""
        return bool(self._unsent)
