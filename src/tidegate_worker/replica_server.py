"""The replica's loop on the main thread: it serves sockets, then predicts one batch, then serves sockets again.

It has no event loop and no thread, as a model may run its own. While the model predicts, no socket is read; signals and
the time limit still act. The file exceeds 250 lines, as sockets, frames and predictions share one state.
"""

import hmac
import json
import os
import selectors
import signal
import socket
import time
from collections import OrderedDict
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from tidegate_worker.batching.arrivals import QueuedRequest
from tidegate_worker.batching.batcher import Batcher, Serving, too_late
from tidegate_worker.batching.reviewer import Reviewer
from tidegate_worker.input import mlflow1
from tidegate_worker.ipc import wire
from tidegate_worker.ipc.busy_poll import BUSY_POLL_SECONDS, BusyPoll
from tidegate_worker.ipc.gateway_connection import GatewayConnection, Gone
from tidegate_worker.process import resident_memory
from tidegate_worker.process.log import log
from tidegate_worker.proof.refutations import Refutations

# A peer that has not identified itself after this time is disconnected.
HELLO_SECONDS = 10.0
# A draining replica waits this many seconds after the last frame: a gateway may have sent requests before it
# read DRAINING.
LINGER_SECONDS = 0.5
# The longest that a draining replica waits for gateways to take their answers.
FLUSH_SECONDS = 5.0


class Identity(NamedTuple):
    """What a gateway must know to be accepted."""

    revision: str
    secret: str

    def accepts(self, hello: memoryview) -> bool:
        """Whether a HELLO has this revision and secret. The time it takes does not tell how much of them was right."""
        try:
            document = json.loads(bytes(hello))
            same_protocol = document["protocol"] == wire.PROTOCOL
            revision, secret = str(document["revision"]), str(document["secret"])
        except (ValueError, TypeError, KeyError):
            return False
        same_revision = hmac.compare_digest(revision.encode("utf-8", "replace"), self.revision.encode())
        same_secret = hmac.compare_digest(secret.encode("utf-8", "replace"), self.secret.encode())
        return same_protocol and same_revision and same_secret


class Server:
    """Answers gateways with the batcher's answers, until it is told to stop.

    `self_description` is a part of each WELCOME. `on_change` is called after the first prediction, and after each one
    that has changed the path or the batching. `refutations` are shared with the revision's other replicas.
    """

    def __init__(
        self,
        listener: socket.socket,
        identity: Identity,
        batcher: Batcher,
        self_description: Callable[[], Dict[str, Any]],
        on_change: Callable[[], None],
        refutations: Optional[Refutations] = None,
    ) -> None:
        self._listener, self._identity = listener, identity
        self._on_change = on_change
        self._reported: Optional[Serving] = None  # how the model was served at the last call of `on_change`
        self._batcher, self._self_description = batcher, self_description
        self._reviewer = Reviewer(batcher, refutations)
        self._credits = batcher.credits
        self._selector = selectors.DefaultSelector()
        self._connections: Dict[int, GatewayConnection] = {}  # by file descriptor
        self._queue: OrderedDict[Tuple[int, int], QueuedRequest] = OrderedDict()  # by file descriptor and request id
        self._stopping = False
        self._heard_at = self._idle_since = time.monotonic()
        self._busy_poll = BusyPoll()
        self._woken, self._waker = socket.socketpair()

    def stop(self, *_signal: object) -> None:
        """Make `run` drain and return. It may be called by a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Serve until `stop`."""
        for end in (self._listener, self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._arm_waker()
        while not self._stopping:
            if not self._queue and self._busy_poll.watches:
                self._busy_poll_sockets()
            self._serve_sockets(0 if self._queue else self._longest_sleep())
            if self._queue and not self._stopping:
                self._busy_poll.learn(time.monotonic() - self._idle_since)
                self._predict_next()
                self._idle_since = time.monotonic()
        self._drain()

    # sockets

    def _arm_waker(self) -> None:
        # It is repeated after each prediction: an event loop of the model's removes the descriptor.
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def _serve_sockets(self, timeout: Optional[float]) -> None:
        """Wait for sockets for at most `timeout` seconds, and serve those that are ready."""
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._woken:
                self._woken.recv(4096)
            else:
                self._serve_connection(self._connections[key.fd], events)
        self._drop_unidentified()

    def _busy_poll_sockets(self) -> None:
        """Poll the sockets without sleeping, until a request comes or `BUSY_POLL_SECONDS` have passed."""
        until = time.monotonic() + BUSY_POLL_SECONDS
        while not self._queue and not self._stopping and time.monotonic() < until:
            self._serve_sockets(0)
            os.sched_yield()  # a process that has work goes first

    def _longest_sleep(self) -> Optional[float]:
        """The seconds until a peer must have identified itself; None if all have."""
        accepted = [connection.accepted_at for connection in self._connections.values() if not connection.greeted]
        return max(0.0, min(accepted) + HELLO_SECONDS - time.monotonic()) if accepted else None

    def _drop_unidentified(self) -> None:
        late = time.monotonic() - HELLO_SECONDS
        for peer in [peer for peer in self._connections.values() if not peer.greeted and peer.accepted_at <= late]:
            self._drop(peer)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            return  # the peer has gone again
        connection = GatewayConnection(accepted, time.monotonic())
        self._connections[accepted.fileno()] = connection
        self._selector.register(accepted, selectors.EVENT_READ)

    def _serve_connection(self, connection: GatewayConnection, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                connection.flush()
                self._select_events(connection)
            if events & selectors.EVENT_READ:
                for kind, payload in connection.receive():
                    if connection.closed:
                        return  # sending the answer to an earlier frame has failed
                    self._heard_at = time.monotonic()
                    self._handle_frame(connection, kind, payload)
        except (Gone, wire.WireError):
            self._drop(connection)

    def _send(self, connection: GatewayConnection, data: bytes) -> None:
        if connection.closed:
            return
        try:
            connection.send(data)
            self._select_events(connection)
        except Gone:
            self._drop(connection)

    def _select_events(self, connection: GatewayConnection) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.has_unsent else 0)
        if self._selector.get_key(connection.socket).events != events:
            self._selector.modify(connection.socket, events)

    def _drop(self, connection: GatewayConnection) -> None:
        """Close a connection, and remove its requests from the queue."""
        number = connection.socket.fileno()
        if self._connections.pop(number, None) is None:
            return
        self._selector.unregister(connection.socket)
        connection.socket.close()
        for key in [key for key in self._queue if key[0] == number]:
            del self._queue[key]

    # frames

    def _handle_frame(self, connection: GatewayConnection, kind: int, payload: memoryview) -> None:
        if not connection.greeted:
            if kind != wire.HELLO or not self._identity.accepts(payload):
                raise wire.WireError("not one of our gateways")
            connection.greet()
            welcome = {
                "protocol": wire.PROTOCOL,
                "pid": os.getpid(),
                **self._credits._asdict(),
                **self._self_description(),
            }
            self._send(connection, wire.frame(wire.WELCOME, json.dumps(welcome).encode()))
        elif kind == wire.REQUESTS:
            self._enqueue(connection, payload)
        elif kind == wire.CANCEL:
            self._hand_back(connection, wire.unpack_ids(payload))
        elif kind == wire.PING:
            self._send(connection, wire.frame(wire.PONG, bytes(payload)))
        elif kind == wire.MEASURE:
            self._send(connection, wire.pack_ids(wire.MEASURED, [resident_memory.resident_bytes()]))
        else:
            raise wire.WireError("a frame of a type that gateways do not send")

    def _enqueue(self, connection: GatewayConnection, payload: memoryview) -> None:
        now, number = time.monotonic(), connection.socket.fileno()
        requests = wire.unpack_requests(payload)
        for request in requests:
            deadline = now + request.millis_left / 1000
            waiting = self._queue[number, request.id] = QueuedRequest(connection, request, deadline, now)
            if request.meta.startswith(mlflow1.MARK):
                waiting.request, waiting.bare = mlflow1.modernised(request, self._batcher.model.json.decode)
        if self._stopping:
            self._hand_back(connection, [request.id for request in requests])

    def _hand_back(self, connection: GatewayConnection, ids: List[int]) -> None:
        """Hand back those of the requests that were not begun."""
        number = connection.socket.fileno()
        returned = [request for request in ids if self._queue.pop((number, request), None) is not None]
        if returned:
            self._send(connection, wire.pack_ids(wire.RETURNED, returned))

    # predictions

    def _predict_next(self) -> None:
        """Answer the next batch, then review it."""
        now = time.monotonic()
        self._reviewer.apply_refutations(now)
        batch = self._batcher.take(self._queue, now)
        if batch[0].deadline <= now:
            self._reply(batch, [too_late(batch[0].request)])
            return
        answers = self._batcher.answer(batch)
        self._arm_waker()
        self._reply(batch, answers)
        self._reviewer.review(batch, answers)
        self._send_credits()
        if self._reported is not self._batcher.serving:
            self._reported = self._batcher.serving
            self._on_change()

    def _reply(self, batch: List[QueuedRequest], answers: List[wire.Answer]) -> None:
        """Send each connection its answers, in one frame unless they are very large."""
        frames: Dict[GatewayConnection, List[wire.Answer]] = {}
        for waiting, answer in zip(batch, answers):
            frames.setdefault(waiting.connection, []).append(mlflow1.unwrapped(answer) if waiting.bare else answer)
        for connection, replies in frames.items():
            for frame in wire.answer_frames(replies):
                self._send(connection, frame)

    def _send_credits(self) -> None:
        credit = self._batcher.credits
        if credit != self._credits:
            self._credits = credit
            frame = wire.frame(wire.CREDITS, json.dumps(credit._asdict()).encode())
            for connection in [gateway for gateway in self._connections.values() if gateway.greeted]:
                self._send(connection, frame)

    # the end

    def _drain(self) -> None:
        """Hand back the requests that were not begun, and let gateways take their answers."""
        log(f"draining: {len(self._queue)} requests are handed back")
        self._selector.unregister(self._listener)
        self._listener.close()
        for connection in list(self._connections.values()):
            self._send(connection, wire.frame(wire.DRAINING))
            number = connection.socket.fileno()
            self._hand_back(connection, [request for owner, request in list(self._queue) if owner == number])
        began = self._heard_at = time.monotonic()
        while self._connections and time.monotonic() < began + FLUSH_SECONDS:
            unsent = any(connection.has_unsent for connection in self._connections.values())
            if not unsent and time.monotonic() > self._heard_at + LINGER_SECONDS:
                break
            self._serve_sockets(LINGER_SECONDS / 5)
        for connection in list(self._connections.values()):
            self._drop(connection)
