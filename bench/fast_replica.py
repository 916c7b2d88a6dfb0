"""A replica that predicts nothing, as fast as Python can: so that the gateway in front of it is what is measured.

`python -m bench.fast_replica SOCKET`. It gives two credits of 64 requests, and answers each with the same 20 bytes.
"""

import json
import selectors
import socket
import struct
import sys

from tidegate_worker.ipc import wire

BODY = b'{"predictions": [1]}'
META = b"batch=64\nwait=120\ndecode=80\npredict=150\nencode=40"
_REQUEST = struct.Struct("<QIBHI")
_ANSWER = struct.Struct("<QBBHI")
_COUNT = struct.Struct("<I")


def answers(payload: memoryview) -> bytes:
    """The ANSWERS frame to a REQUESTS frame."""
    (count,) = _COUNT.unpack_from(payload)
    at, parts = _COUNT.size, [payload[: _COUNT.size].tobytes()]
    tail = META + BODY
    for _ in range(count):
        number, _, _, meta_size, body_size = _REQUEST.unpack_from(payload, at)
        at += _REQUEST.size + meta_size + body_size
        parts.append(_ANSWER.pack(number, wire.OK, 0, len(META), len(BODY)) + tail)
    return wire.frame(wire.ANSWERS, b"".join(parts))


def receive(connection: socket.socket, frames: wire.Frames) -> bool:
    """Answer what has come; False when the gateway has gone."""
    data = connection.recv(1024 * 1024)
    for kind, payload in frames.feed(data):
        if kind == wire.HELLO:
            welcome = {"protocol": wire.PROTOCOL, "pid": 0, "credits": 2, "group": 64}
            connection.sendall(wire.frame(wire.WELCOME, json.dumps(welcome).encode()))
        elif kind == wire.REQUESTS:
            connection.sendall(answers(payload))
    return bool(data)


def main(path: str) -> None:
    """Serve until the process is ended."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    selector = selectors.DefaultSelector()
    selector.register(listening, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listening:
                connection, _ = listening.accept()
                selector.register(connection, selectors.EVENT_READ, wire.Frames())
            elif not receive(key.fileobj, key.data):  # type: ignore[arg-type]
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]


if __name__ == "__main__":
    main(sys.argv[1])
