"""The bytes of answers: the heads of predictions, and whole errors."""

import functools

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tidegate import http
from tidegate.core.errors import TidegateError
from tidegate.core.planes.load_report import COLD_PHASES
from tidegate.gateway.metering.record import Steps
from tidegate.gateway.queue import replica_frames
from tidegate_worker.ipc import wire

_REMEMBERED = 1024
_STEPS = b'batch;desc="%b", wait;dur=%.3f, decode;dur=%.3f, predict;dur=%.3f, encode;dur=%.3f, '


def ok(served: str, request_id: bytes, timing: bytes, length: int) -> bytes:
    """The head of a prediction, without the empty line at its end."""
    return b"%bx-request-id: %b\r\nserver-timing: %b\r\ncontent-length: %d\r\n" % (
        _ok_lines(served),
        request_id,
        timing,
        length,
    )


@functools.lru_cache(_REMEMBERED)
def _ok_lines(served: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserved-model-name: %b\r\n" % served.encode()


def error(what: TidegateError, headers: http.Headers, *, keep_alive: bool, with_body: bool = True) -> bytes:
    """A whole error, for HEAD without its body."""
    status, body = http.status_of(what)[0], http.error_body(what)
    lines = [b"%b: %b\r\n" % header for header in headers]
    end = b"" if keep_alive else b"connection: close\r\n"
    head = b"".join((STATUS_LINE[status], *lines, b"content-length: %d\r\n" % len(body), end, b"\r\n"))
    return head + body if with_body else head


def server_timing(steps: Steps, waited: float, seconds: float) -> bytes:
    """`Server-Timing` (W3C), in milliseconds: the wait in the queue, the steps in the replica, and the total."""
    return b"queue;dur=%.3f, %btotal;dur=%.3f" % (waited * 1000, steps[0], seconds * 1000)


def cold_timing(mode: str, phases: tuple[float, ...]) -> bytes:
    """The part of `Server-Timing` for a request that waited for a replica: COLD_PHASES, and their sum as `cold`."""
    *parts, total = phases
    steps = [f"cold-{name};dur={seconds * 1000:.3f}" for name, seconds in zip(COLD_PHASES, parts, strict=False)]
    return f', cold;dur={total * 1000:.3f};desc="{mode}", {", ".join(steps)}'.encode("latin-1", "replace")


@functools.lru_cache(_REMEMBERED)
def steps_of(meta: bytes) -> Steps:
    """The steps in the replica, by an answer's metadata. The answers of one batch have the same."""
    usual = replica_frames.USUAL_META.fullmatch(meta)
    if usual is not None:
        batch, *micros = usual.groups()
        wait, decode, predict, encode = map(int, micros)
        text = _STEPS % (batch, wait / 1000, decode / 1000, predict / 1000, encode / 1000)
        return text, wait / 1e6, decode / 1e6, predict / 1e6, encode / 1e6, 1 / int(batch)
    text = "".join([_step(key, value) for key, value in wire.unpack_meta(meta).items()]).encode("latin-1")
    return text, 0.0, 0.0, 0.0, 0.0, 0.0


def _step(key: str, value: str) -> str:
    return f'batch;desc="{value}", ' if key == "batch" else f"{key};dur={int(value) / 1000:.3f}, "
