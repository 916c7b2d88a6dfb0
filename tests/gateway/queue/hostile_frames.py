"""What a model could write to its replica's connection and no replica of Tidegate sends, by the field that is wrong."""

import json
import struct

from tidegate_worker.ipc import wire

GOOD_WELCOME = {"protocol": wire.PROTOCOL, "pid": 1, "credits": 2, "group": 4}
_START = {"mode": "fork", "asked": 1.0, "forked": 2.0, "ready": 3.0}
_HEAD_SPLIT = 'fork"\r\nset-cookie: stolen=1\r\nx: "'
UNKNOWN_ID = 1 << 63


def _welcome(**wrong: object) -> bytes:
    return wire.frame(wire.WELCOME, json.dumps(GOOD_WELCOME | wrong).encode())


def _start(**wrong: object) -> bytes:
    return _welcome(start=_START | wrong)


def _terms(text: str) -> bytes:
    return wire.frame(wire.CREDITS, text.encode())


WELCOMES: dict[str, bytes] = {
    "mode with a header": _start(mode=_HEAD_SPLIT),
    "mode unknown": _start(mode="warm"),
    "mode a number": _start(mode=1),
    "time not a number": _start(ready=float("nan")),
    "time infinite": _start(ready=float("inf")),
    "time too large for a float": wire.frame(
        wire.WELCOME, json.dumps(GOOD_WELCOME | {"start": _START}).replace("3.0", "1e999").encode()
    ),
    "time negative": _start(asked=-1.0),
    "times in disorder": _start(forked=0.5),
    "time a string": _start(asked="1.0"),
    "time missing": _welcome(start={"mode": "fork"}),
    "start a list": _welcome(start=[1]),
    "credits huge": _welcome(credits=10**9),
    "credits beyond 64 bits": _welcome(credits=10**30),
    "credits negative": _welcome(credits=-1),
    "credits a string": _welcome(credits="2"),
    "credits a float": _welcome(credits=1.5),
    "credits true": _welcome(credits=True),
    "group zero": _welcome(group=0),
    "group huge": _welcome(group=10**9),
    "no JSON": wire.frame(wire.WELCOME, b"\xff\xfe"),
    "nothing": wire.frame(wire.WELCOME),
    "deep JSON": wire.frame(wire.WELCOME, b'{"said":' + b"[" * 100_000),
    "long": wire.frame(wire.WELCOME, b" " * 2_000_000),
    "not the first frame": wire.frame(wire.CREDITS, json.dumps(GOOD_WELCOME).encode()),
}


def answers(number: int) -> dict[str, bytes]:
    """To a request of this id."""

    def answer(meta: bytes = b"", body: bytes = b"{}", outcome: int = wire.OK, flags: int = 0) -> bytes:
        return wire.pack_answers([wire.Answer(number, outcome, flags, meta, body)])

    good = wire.Answer(number, wire.OK, 0, b"predict=5", b"{}")
    return {
        "meta with a header": answer(b"predict=5\r\nset-cookie: stolen=1"),
        "meta with a carriage return": answer(b"predict=5\r"),
        "meta with a null byte": answer(b"predict=5\0"),
        "meta not Latin-1 of ours": answer(b"pr\xe9dict=5"),
        "meta of another key": answer(b"served=5"),
        "meta of a word": answer(b"predict=soon"),
        "meta negative": answer(b"predict=-5"),
        "meta huge": answer(b"predict=" + b"9" * 30),
        "meta without end": answer(b"predict=5\n" * 3000),
        "meta that ends with a newline": answer(b"predict=5\n"),
        "batch of none": answer(b"batch=0"),
        "batch huge": answer(b"batch=99999999"),
        "batch a float": answer(b"batch=1.5"),
        "outcome unknown": answer(outcome=200),
        "flags unknown": answer(flags=1),
        "sentence not UTF-8": answer(body=b"\xff\xfe", outcome=wire.MODEL_ERROR),
        "id never sent": wire.pack_answers([good._replace(id=UNKNOWN_ID)]),
        "id answered before": wire.pack_answers([good, good]),
        "count huge": wire.frame(wire.ANSWERS, struct.pack("<I", 0xFFFFFFFF) + wire.pack_answers([good])[9:]),
        "count none": wire.pack_answers([]),
        "cut short": wire.frame(wire.ANSWERS, wire.pack_answers([good])[5:-1]),
        "returned never sent": wire.pack_ids(wire.RETURNED, [UNKNOWN_ID]),
        "returned twice": wire.pack_ids(wire.RETURNED, [number, number]),
        "returned none": wire.pack_ids(wire.RETURNED, []),
        "returned cut short": wire.frame(wire.RETURNED, b"\1\2\3"),
        "measured unasked": wire.pack_ids(wire.MEASURED, [1]),
        "draining with a payload": wire.frame(wire.DRAINING, b"!"),
        "welcome again": _welcome(),
        "pong unasked": wire.frame(wire.PONG),
        "a gateway's frame": wire.frame(wire.HELLO),
        "kind unknown": wire.frame(250),
        "length zero": b"\0\0\0\0\0",
        "length huge": b"\xff\xff\xff\xff\4",
        "credits a list": _terms("[]"),
        "credits not a number": _terms('{"credits": NaN, "group": 1}'),
        "credits huge": _terms('{"credits": 1000000000, "group": 1}'),
        "group missing credits": _terms('{"group": 1}'),
        "credits without end": _terms('{"credits": 2, "group": 4}') * 5000,
    }
