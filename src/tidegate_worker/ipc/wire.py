"""The protocol between gateways and replicas: frames of bytes, codes and text; never a pickle.

A frame is a length (u32, of what follows), a type (u8) and a payload; integers are little-endian.

    gateway → replica    HELLO, REQUESTS, CANCEL, PING, MEASURE
    replica → gateway    WELCOME, ANSWERS, RETURNED, PONG, DRAINING, CREDITS, MEASURED

HELLO (JSON: protocol, revision, secret) is the first frame on a connection. A replica of another protocol, revision or
secret closes it; else it answers WELCOME (JSON: protocol, pid, credits, group). A gateway may have `credits` REQUESTS
frames unanswered, of at most `group` requests each. Their answers come in any order and in any number of ANSWERS
frames. CREDITS (JSON: credits, group) changes both numbers from then on. DRAINING asks the gateway to send no more
requests. RETURNED hands back requests that were not begun: they may run elsewhere. MEASURE asks for MEASURED (u64: the
resident bytes of the process, 0 if not known), which comes between two predictions.
"""

import struct
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple, Type, TypeVar

PROTOCOL = 2

HELLO, WELCOME, REQUESTS, ANSWERS, CANCEL, RETURNED, DRAINING, PING, PONG, CREDITS, MEASURE, MEASURED = range(1, 13)

# A group of requests travels as one frame of at most this many bytes, or as a single larger request.
MAX_GROUP_BYTES = 32 * 1024 * 1024
# A longer frame is a defect or an attack: the connection is closed.
MAX_FRAME_BYTES = 256 * 1024 * 1024
# The most bytes that a frame with a single request or answer has besides its body; metadata included.
OVERHEAD_BYTES = 128 * 1024
# A frame of which this many bytes are missing gets a buffer of its own. The buffer has at most the second
# figure of bytes at first, and grows with the bytes that arrive: five bytes can announce a frame of any length.
_LARGE, _FIRST_ROOM = 64 * 1024, 4 * 1024 * 1024

# --- outcomes of a request. The gateway turns them into its errors.

OK = 0
BAD_REQUEST = 1  # the body cannot be read, or does not fit the signature
UNSUPPORTED_MEDIA_TYPE = 2  # the replica does not read this content type
MODEL_ERROR = 3  # the model raised
BAD_OUTPUT = 4  # the model's answer cannot be written as JSON
TIMED_OUT = 5  # the deadline passed before it began
INTERNAL = 6  # a defect of the worker

HEADER = struct.Struct("<IB")
_COUNT = struct.Struct("<I")
_REQUEST = struct.Struct("<QIBHI")  # id, milliseconds left, flags, bytes of metadata, bytes of body
_ANSWER = struct.Struct("<QBBHI")  # id, outcome, flags (none yet: 0), bytes of metadata, bytes of body
_ID = struct.Struct("<Q")
_MOST_ITEMS = 0xFFFFFFFF  # that a frame can count

ALONE = 1  # flag of a request: predict it by itself; it was in flight when a replica died


class Request(NamedTuple):
    """A request as it travels. `meta` is a small map in the form of `pack_meta`."""

    id: int
    millis_left: int
    flags: int
    meta: bytes
    body: bytes


class Answer(NamedTuple):
    """An answer as it travels. `body` is JSON when the outcome is OK, else a UTF-8 sentence for the caller."""

    id: int
    outcome: int
    flags: int
    meta: bytes
    body: bytes


class WireError(Exception):
    """The peer does not speak this protocol."""


def frame(kind: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return HEADER.pack(len(payload) + 1, kind) + payload


def pack_requests(requests: Iterable[Request]) -> bytes:
    """A REQUESTS frame."""
    parts: List[bytes] = []
    for request in requests:
        parts.append(_REQUEST.pack(request[0], request[1], request[2], len(request[3]), len(request[4])))
        parts.append(request[3])
        parts.append(request[4])
    return frame(REQUESTS, b"".join((_COUNT.pack(len(parts) // 3), *parts)))


def unpack_requests(payload: memoryview) -> List[Request]:
    """The requests of a REQUESTS frame. Raises WireError when it is cut short."""
    return _unpack(payload, _REQUEST, Request)


def pack_answers(answers: Iterable[Answer]) -> bytes:
    """An ANSWERS frame."""
    parts: List[bytes] = []
    for answer in answers:
        parts.append(_ANSWER.pack(answer[0], answer[1], answer[2], len(answer[3]), len(answer[4])))
        parts.append(answer[3])
        parts.append(answer[4])
    return frame(ANSWERS, b"".join((_COUNT.pack(len(parts) // 3), *parts)))


def answer_frames(answers: Sequence[Answer]) -> List[bytes]:
    """ANSWERS frames of at most MAX_GROUP_BYTES each, or with a single larger answer.

    An answer that is too large for any frame is replaced by a sentence that says so.
    """
    if sum([len(answer[4]) for answer in answers]) <= MAX_GROUP_BYTES:
        return [pack_answers(answers)]
    groups: List[List[Answer]] = [[]]
    room = MAX_GROUP_BYTES
    for answer in map(_within_frame_limit, answers):
        if groups[-1] and len(answer.body) > room:
            groups.append([])
            room = MAX_GROUP_BYTES
        groups[-1].append(answer)
        room -= len(answer.body)
    return [pack_answers(group) for group in groups]


def _within_frame_limit(answer: Answer) -> Answer:
    size, most = len(answer.body), MAX_FRAME_BYTES - OVERHEAD_BYTES
    if size <= most:
        return answer
    sentence = (
        f"The model's answer is too large: it has {size} bytes, and at most {most} can be sent. "
        "Ask for fewer rows at once, or let the model return less."
    )
    return answer._replace(outcome=BAD_OUTPUT, body=sentence.encode())


def unpack_answers(payload: memoryview, most: int = _MOST_ITEMS) -> List[Answer]:
    """The answers of an ANSWERS frame. Raises WireError when it is cut short, has none, or more than `most`."""
    return _unpack(payload, _ANSWER, Answer, most)


_Item = TypeVar("_Item", Request, Answer)


def _unpack(payload: memoryview, layout: struct.Struct, kind: "Type[_Item]", most: int = _MOST_ITEMS) -> "List[_Item]":
    try:
        (count,) = _COUNT.unpack_from(payload)
        if count > most:
            raise WireError("a frame has more items than are due")
        at, items, size, unpack = _COUNT.size, [], layout.size, layout.unpack_from
        for _ in range(count):
            number, second, flags, meta_size, body_size = unpack(payload, at)
            middle = at + size + meta_size
            end = middle + body_size
            items.append(kind(number, second, flags, bytes(payload[at + size : middle]), bytes(payload[middle:end])))
            at = end
    except struct.error as error:
        raise WireError("a frame is cut short") from error
    if at > len(payload):
        raise WireError("a frame is cut short")
    return items


def pack_ids(kind: int, ids: Iterable[int]) -> bytes:
    """A frame of 64-bit numbers: CANCEL, RETURNED or MEASURED."""
    return frame(kind, b"".join([_ID.pack(number) for number in ids]))


def unpack_ids(payload: memoryview) -> List[int]:
    """The numbers in a CANCEL, RETURNED or MEASURED frame. Raises WireError when it is cut short."""
    if len(payload) % _ID.size:
        raise WireError("a frame is cut short")
    return [fields[0] for fields in _ID.iter_unpack(payload)]


def pack_meta(items: Iterable[Tuple[str, str]]) -> bytes:
    """A small map as `key=value` lines, Latin-1. Keys and values must not contain a newline."""
    return "\n".join([f"{key}={value}" for key, value in items]).encode("latin-1")


def unpack_meta(meta: bytes) -> "dict[str, str]":
    """The map that `pack_meta` has packed."""
    if not meta:
        return {}
    pairs = [line.partition("=") for line in meta.decode("latin-1").split("\n")]
    return {key: value for key, _, value in pairs}


class Frames:
    """Cuts a stream of bytes into frames of at most `max_bytes`.

    `feed` takes bytes and returns complete frames. A large frame gets a buffer of its own, and a socket may read
    straight into it: `room` is the part that is still to be filled, and `filled` says how many bytes were read.
    """

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self.max_bytes = max_bytes
        self._rest = b""  # the beginning of a frame that is small, or whose length is not known yet
        self._large: Optional[bytearray] = None  # a large frame without its length
        self._size = 0  # how many of its bytes have arrived
        self._length = 0  # how many bytes it has

    def feed(self, data: bytes) -> "List[Tuple[int, memoryview]]":
        """Take bytes. Returns the complete frames: (type, payload). Raises WireError for another protocol."""
        at, frames = 0, []
        if self._rest:
            data = self._rest + data
        while self._large is not None and at < len(data):
            count = min(len(data) - at, len(self._large) - self._size)
            self._large[self._size : self._size + count] = data[at : at + count] if count < len(data) else data
            at += count
            frames = self.filled(count)
        view, size = memoryview(data), len(data)
        while size - at >= HEADER.size:
            length, kind = HEADER.unpack_from(data, at)
            if not 1 <= length <= self.max_bytes:
                raise WireError("a frame has an impossible length")
            end = at + 4 + length
            if end > size:
                break
            frames.append((kind, view[at + HEADER.size : end]))
            at = end
        self._rest = data[at:] if at else data
        if len(self._rest) >= HEADER.size:
            self._begin(length)
        return frames

    def _begin(self, length: int) -> None:
        """Allocate a buffer for the frame that begins in `_rest`, if many of its bytes are missing."""
        if length + 4 - len(self._rest) >= _LARGE:
            self._size, self._length = len(self._rest) - 4, length
            self._large = bytearray(min(length, max(_FIRST_ROOM, 2 * self._size)))
            self._large[: self._size] = self._rest[4:]
            self._rest = b""

    @property
    def room(self) -> Optional[memoryview]:
        """The place for the next bytes of a large frame; None if there is none."""
        return None if self._large is None else memoryview(self._large)[self._size :]

    def filled(self, count: int) -> "List[Tuple[int, memoryview]]":
        """Count bytes that were read into `room`. Returns the frame if it is complete now."""
        assert self._large is not None
        self._size += count
        if self._size == self._length:
            whole, self._large = memoryview(self._large), None
            return [(whole[0], whole[1:])]
        if self._size == len(self._large):
            larger = bytearray(min(self._length, 2 * self._size))
            larger[: self._size] = self._large
            self._large = larger
        return []
