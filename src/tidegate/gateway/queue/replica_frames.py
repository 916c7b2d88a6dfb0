"""The fields of what replicas send, checked where they come in.

A model runs in its replica's process and may write to the replica's connections. Its frames therefore have the trust of
a caller's request: a value that no replica of Tidegate sends raises `wire.WireError`, and the connection ends.
"""

import functools
import math
import re
from typing import Annotated, Literal, TypeVar

import msgspec

from tidegate.gateway.queue.start_times import ColdStart
from tidegate_worker.ipc import wire

# A replica of Tidegate grants 2 credits at most, of 64 requests each.
MOST_CREDITS, MOST_GROUP = 64, 1024
# The frames of terms have some hundred bytes.
MOST_TERMS_BYTES = 1024 * 1024
# No machine has more resident bytes.
_MOST_RESIDENT_BYTES = 1 << 50
# The metadata of a prediction, as replicas write it: the requests that were predicted together, and microseconds. It
# goes into a `Server-Timing` header.
USUAL_META = re.compile(
    rb"batch=([1-9][0-9]{0,3})\nwait=([0-9]{1,12})\ndecode=([0-9]{1,12})\npredict=([0-9]{1,12})\nencode=([0-9]{1,12})"
)
# The same with some lines only.
_META = re.compile(
    rb"(?:batch=[1-9][0-9]{0,3}|(?:wait|decode|predict|encode)=[0-9]{1,12})"
    rb"(?:\n(?:batch=[1-9][0-9]{0,3}|(?:wait|decode|predict|encode)=[0-9]{1,12})){0,7}"
)


# The longest metadata that is known, bytes; longer is not looked at, nor remembered.
_MAX_META = 8 * 21


@functools.lru_cache(1024)
def _is_known(meta: bytes) -> bool:
    """Whether metadata is what a replica of Tidegate sends. The answers of one batch have the same."""
    return USUAL_META.fullmatch(meta) is not None or _META.fullmatch(meta) is not None


class _Start(msgspec.Struct):
    mode: Literal["fork", "spawn"]
    asked: float
    forked: float
    ready: float


class Terms(msgspec.Struct):
    """A CREDITS frame: how many groups the replica takes, and how many requests each may have."""

    credits: Annotated[int, msgspec.Meta(ge=0, le=MOST_CREDITS)]
    group: Annotated[int, msgspec.Meta(ge=1, le=MOST_GROUP)] = 1


class _Welcome(Terms):
    start: _Start | None = None


Said = TypeVar("Said", bound=Terms)

_TERMS, _WELCOME = msgspec.json.Decoder(Terms), msgspec.json.Decoder(_Welcome)


def welcome(payload: memoryview) -> tuple[Terms, ColdStart | None]:
    """A WELCOME frame: the terms, and the start where the replica tells it."""
    said = _decoded(_WELCOME, payload)
    return said, _cold_start(said.start) if said.start is not None else None


def terms(payload: memoryview) -> Terms:
    """A CREDITS frame."""
    return _decoded(_TERMS, payload)


def resident_bytes(payload: memoryview) -> int:
    """A MEASURED frame."""
    measured = wire.unpack_ids(payload)
    if len(measured) != 1 or measured[0] > _MOST_RESIDENT_BYTES:
        raise wire.WireError("a measurement is none")
    return measured[0]


def check_answer(answer: wire.Answer) -> None:
    """All but the id, which only the connection knows, and the body of an answer without error: that is the model's."""
    if answer.flags:
        raise wire.WireError("an answer has unknown flags")
    meta = answer.meta
    if meta and (len(meta) > _MAX_META or not _is_known(meta)):
        raise wire.WireError("an answer has unknown metadata")
    if answer.outcome != wire.OK:
        if answer.outcome > wire.INTERNAL:
            raise wire.WireError("an answer has an unknown outcome")
        try:
            answer.body.decode()
        except UnicodeDecodeError:
            raise wire.WireError("an error's sentence is not UTF-8") from None


def _cold_start(start: _Start) -> ColdStart:
    if not 0 <= start.asked <= start.forked <= start.ready or not math.isfinite(start.ready):
        raise wire.WireError("a start's times are not in order")
    return ColdStart(start.mode, start.asked, start.forked, start.ready)


def _decoded(decoder: "msgspec.json.Decoder[Said]", payload: memoryview) -> Said:
    if len(payload) > MOST_TERMS_BYTES:
        raise wire.WireError("a frame of terms is too long")
    try:
        return decoder.decode(payload)
    except (ValueError, RecursionError) as error:
        raise wire.WireError("a frame of terms makes no sense") from error
