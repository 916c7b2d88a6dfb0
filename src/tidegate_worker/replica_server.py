"""The replica's loop: sockets between predictions, one prediction at a time, all on the main thread.

No event loop and no thread: a model may run its own. While the model predicts, nothing is read; signals and the alarm
still act.
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

# A peer that has not said who it is by then is turned away.
HELLO_SECONDS = 10.0
# How long after the last frame a draining replica waits for requests that were sent before DRAINING was read.
LINGER_SECONDS = 0.5
# The longest that a draining replica waits for gateways to take their answers.
FLUSH_SECONDS = 5.0


class Identity(NamedTuple):
    """What a gateway must know to be welcomed."""

    revision: str
    secret: str

    def accepts(self, hello: memoryview) -> bool:
        """Whether a HELLO's payload says so, without telling by its timing how much of it was right."""
        try:
            said = json.loads(bytes(hello))
            same_protocol = said["protocol"] == wire.PROTOCOL
            revision, secret = str(said["revision"]), str(said["secret"])
        except (ValueError, TypeError, KeyError):
            return False
        same_revision = hmac.compare_digest(revision.encode("utf-8", "replace"), self.revision.encode())
        same_secret = hmac.compare_digest(secret.encode("utf-8", "replace"), self.secret.encode())
        return same_protocol and same_revision and same_secret


class Server:
    """Answers gateways with what `batcher` makes, until it is told to stop.

    `said` is what a WELCOME says besides. `answered` is called after the first prediction, and
    after one that has changed how the model is served. `refutations` are shared with the revision's other replicas.
    """

    def __init__(
        self,
        listener: socket.socket,
        identity: Identity,
        batcher: Batcher,
        said: Callable[[], Dict[str, Any]],
        answered: Callable[[], None],
        refutations: Optional[Refutations] = None,
    ) -> None:
        self._listener, self._identity = listener, identity
        self._answered = answered
        self._served: Optional[Serving] = None  # as it was when that was called last
        self._batcher, self._said = batcher, said
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
        """Drain, then return from `run`. Safe as a signal handler."""
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
                self._watch_awake()
            self._turn(0 if self._queue else self._patience())
            if self._queue and not self._stopping:
                self._busy_poll.learn(time.monotonic() - self._idle_since)
                self._predict_next()
                self._idle_since = time.monotonic()
        self._drain()

    # sockets

    def _arm_waker(self) -> None:
        # Again after each prediction: a model that runs an event loop of its own takes the descriptor away.
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def _turn(self, timeout: Optional[float]) -> None:
        """Wait for sockets and serve those that are ready."""
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._woken:
                self._woken.recv(4096)
            else:
                self._serve(self._connections[key.fd], events)
        self._turn_away()

    def _watch_awake(self) -> None:
        """Look at the sockets without sleeping, for as long as the next request can be expected."""
        until = time.monotonic() + BUSY_POLL_SECONDS
        while not self._queue and not self._stopping and time.monotonic() < until:
            self._turn(0)
            os.sched_yield()  # whoever has work goes first

    def _patience(self) -> Optional[float]:
        """How long to sleep: until the first stranger's time is up, else until something comes."""
        strangers = [held.accepted_at for held in self._connections.values() if not held.greeted]
        return max(0.0, min(strangers) + HELLO_SECONDS - time.monotonic()) if strangers else None

    def _turn_away(self) -> None:
        late = time.monotonic() - HELLO_SECONDS
        for held in [held for held in self._connections.values() if not held.greeted and held.accepted_at <= late]:
            self._drop(held)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        connection = GatewayConnection(accepted, time.monotonic())
        self._connections[accepted.fileno()] = connection
        self._selector.register(accepted, selectors.EVENT_READ)

    def _serve(self, connection: GatewayConnection, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                connection.flush()
                self._watch(connection)
            if events & selectors.EVENT_READ:
                for kind, payload in connection.receive():
                    if connection.closed:
                        return  # an answer to an earlier frame found it gone
                    self._heard_at = time.monotonic()
                    self._received(connection, kind, payload)
        except (Gone, wire.WireError):
            self._drop(connection)

    def _send(self, connection: GatewayConnection, data: bytes) -> None:
        if connection.closed:
            return
        try:
            connection.send(data)
            self._watch(connection)
        except Gone:
            self._drop(connection)

    def _watch(self, connection: GatewayConnection) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.has_unsent else 0)
        if self._selector.get_key(connection.socket).events != events:
            self._selector.modify(connection.socket, events)

    def _drop(self, connection: GatewayConnection) -> None:
        """Close it and forget what it asked for."""
        number = connection.socket.fileno()
        if self._connections.pop(number, None) is None:
            return
        self._selector.unregister(connection.socket)
        connection.socket.close()
        for key in [key for key in self._queue if key[0] == number]:
            del self._queue[key]

    # frames

    def _received(self, connection: GatewayConnection, kind: int, payload: memoryview) -> None:
        if not connection.greeted:
            if kind != wire.HELLO or not self._identity.accepts(payload):
                raise wire.WireError("not one of our gateways")
            connection.greet()
            welcome = {"protocol": wire.PROTOCOL, "pid": os.getpid(), **self._credits._asdict(), **self._said()}
            self._send(connection, wire.frame(wire.WELCOME, json.dumps(welcome).encode()))
        elif kind == wire.REQUESTS:
            self._take(connection, payload)
        elif kind == wire.CANCEL:
            self._return(connection, wire.unpack_ids(payload))
        elif kind == wire.PING:
            self._send(connection, wire.frame(wire.PONG, bytes(payload)))
        elif kind == wire.MEASURE:
            self._send(connection, wire.pack_ids(wire.MEASURED, [resident_memory.resident_bytes()]))
        else:
            raise wire.WireError("a frame of a type that gateways do not send")

    def _take(self, connection: GatewayConnection, payload: memoryview) -> None:
        now, number = time.monotonic(), connection.socket.fileno()
        requests = wire.unpack_requests(payload)
        for request in requests:
            deadline = now + request.millis_left / 1000
            waiting = self._queue[number, request.id] = QueuedRequest(connection, request, deadline, now)
            if request.meta.startswith(mlflow1.MARK):
                waiting.request, waiting.bare = mlflow1.modernised(request, self._batcher.model.json.decode)
        if self._stopping:
            self._return(connection, [request.id for request in requests])

    def _return(self, connection: GatewayConnection, ids: List[int]) -> None:
        """Hand back those of the requests that were not begun."""
        number = connection.socket.fileno()
        returned = [request for request in ids if self._queue.pop((number, request), None) is not None]
        if returned:
            self._send(connection, wire.pack_ids(wire.RETURNED, returned))

    # predictions

    def _predict_next(self) -> None:
        """Answer the oldest request with all that goes with it."""
        now = time.monotonic()
        self._reviewer.listen(now)
        batch = self._batcher.take(self._queue, now)
        if batch[0].deadline <= now:
            self._reply(batch, [too_late(batch[0].request)])
            return
        answers = self._batcher.answer(batch)
        self._arm_waker()
        self._reply(batch, answers)
        self._reviewer.review(batch, answers)
        self._tell_credits()
        if self._served is not self._batcher.serving:
            self._served = self._batcher.serving
            self._answered()

    def _reply(self, batch: List[QueuedRequest], answers: List[wire.Answer]) -> None:
        """Frames of answers for each connection, one as a rule."""
        frames: Dict[GatewayConnection, List[wire.Answer]] = {}
        for waiting, answer in zip(batch, answers):
            frames.setdefault(waiting.connection, []).append(mlflow1.unwrapped(answer) if waiting.bare else answer)
        for connection, own in frames.items():
            for frame in wire.answer_frames(own):
                self._send(connection, frame)

    def _tell_credits(self) -> None:
        allowed = self._batcher.credits
        if allowed != self._credits:
            self._credits = allowed
            frame = wire.frame(wire.CREDITS, json.dumps(allowed._asdict()).encode())
            for connection in [held for held in self._connections.values() if held.greeted]:
                self._send(connection, frame)

    # the end

    def _drain(self) -> None:
        """Hand back what was not begun, and let gateways take what was answered."""
        log(f"draining: {len(self._queue)} requests go back")
        self._selector.unregister(self._listener)
        self._listener.close()
        for connection in list(self._connections.values()):
            self._send(connection, wire.frame(wire.DRAINING))
            number = connection.socket.fileno()
            self._return(connection, [request for held, request in list(self._queue) if held == number])
        began = self._heard_at = time.monotonic()
        while self._connections and time.monotonic() < began + FLUSH_SECONDS:
            unsent = any(connection.has_unsent for connection in self._connections.values())
            if not unsent and time.monotonic() > self._heard_at + LINGER_SECONDS:
                break
            self._turn(LINGER_SECONDS / 5)
        for connection in list(self._connections.values()):
            self._drop(connection)
