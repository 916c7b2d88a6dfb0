"""Compressed bodies (`Content-Encoding`). They are decoded while they come in, up to the size limit."""

import functools
import importlib
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from tidegate.core.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType

# The values by which zlib knows its three forms.
_GZIP, _ZLIB, _BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
# The window that RFC 8878 recommends, as a power of two. A larger one would be memory
# that the caller chooses.
_ZSTD_WINDOW = 23
# The bytes that a library gets at once if it cannot stop at a limit. 4 bytes of zstd can become 128 KiB.
_SLICE = 64


class _Member(Protocol):
    """A decoder of the standard library's shape, of one member of a body."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Decoder:
    """Decodes one body of that coding, to at most `limit` bytes."""

    def __init__(self, coding: bytes, limit: int) -> None:
        """Raises UnsupportedMediaType, which names the coding."""
        self._name = coding.decode("latin-1").strip().lower().removeprefix("x-")
        self._limit = limit
        self._taken = self._given = 0
        self._head = b""  # the first bytes of a `deflate` body: two of them tell its form
        self._member: _Member | None = None
        if self._name not in _CODINGS:
            known = ", ".join(_CODINGS)
            raise UnsupportedMediaType(
                f"The body's Content-Encoding {self._name[:40]!a} is not decoded here. "
                f"Send it with one of {known}, or without."
            )

    def feed(self, data: bytes) -> bytes:
        """Decode the next part of the body. Raises BadRequest, and PayloadTooLarge beyond the limit."""
        self._taken += len(data)
        if self._taken > self._limit:
            raise too_large(self._limit)
        found: list[bytes] = []
        try:
            while data:
                if self._member is None or self._member.eof:
                    data = self._next(data)
                    if self._member is None:
                        break
                part = self._member.decompress(data, self._limit - self._given + 1)
                found.append(part)
                self._given += len(part)
                if self._given > self._limit:
                    raise too_large(self._limit)
                data = self._member.unused_data if self._member.eof else b""
        except _errors():
            raise self._broken() from None
        return b"".join(found)

    def finish(self) -> None:
        """Check that the body has its end. Raises BadRequest."""
        if self._taken and (self._member is None or not self._member.eof):
            raise self._broken()

    def _next(self, data: bytes) -> bytes:
        """Begin the next member. Returns the bytes to decode by it."""
        if self._name != "deflate":
            self._member = _CODINGS[self._name]()
            return data
        if self._member is not None:
            raise self._broken()
        self._head += data
        if len(self._head) >= 2:
            wrapped = self._head[0] & 15 == 8 and (self._head[0] * 256 + self._head[1]) % 31 == 0
            self._member = zlib.decompressobj(_ZLIB if wrapped else _BARE)  # some clients send it bare
        return self._head

    def _broken(self) -> BadRequest:
        return BadRequest(f"The body is not valid {self._name}, which its Content-Encoding says it is.")


def decoder(coding: bytes | None, limit: int) -> Decoder | None:
    """The decoder for a Content-Encoding header; None for a plain body. Raises UnsupportedMediaType."""
    if coding is None or coding.strip().lower() in (b"", b"identity"):
        return None
    return Decoder(coding, limit)


class _Sliced:
    """The `zstandard` package in the standard library's shape. It cannot stop at a limit."""

    def __init__(self, library: Any) -> None:
        self._decoder = library.ZstdDecompressor(max_window_size=1 << _ZSTD_WINDOW).decompressobj()
        self.eof = False
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        found, size = [], 0
        for at in range(0, len(data), _SLICE):
            part = self._decoder.decompress(data[at : at + _SLICE])
            found.append(part)
            size += len(part)
            self.eof = self._decoder.eof
            if size > max_length or self.eof:
                self.unused_data = self._decoder.unused_data + data[at + _SLICE :] if self.eof else b""
                break
        return b"".join(found)


def _zstd() -> tuple[Callable[[], _Member], type[Exception]] | None:
    """A maker of decoders by the first library that is there (from Python 3.14 on the standard one), and its error."""
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        try:
            library = importlib.import_module(name)
        except ImportError:
            continue
        make = functools.partial(_Sliced, library) if name == "zstandard" else functools.partial(_standard, library)
        return make, library.ZstdError
    return None


def _standard(library: Any) -> Any:
    return library.ZstdDecompressor(options={library.DecompressionParameter.window_log_max: _ZSTD_WINDOW})


_CODINGS: dict[str, Callable[[], _Member]] = {
    "gzip": lambda: zlib.decompressobj(_GZIP),
    "deflate": lambda: zlib.decompressobj(_ZLIB),
}
_ZSTD = _zstd()
if _ZSTD is not None:
    _CODINGS["zstd"] = _ZSTD[0]


def _errors() -> tuple[type[Exception], ...]:
    return (zlib.error, EOFError) if _ZSTD is None else (zlib.error, EOFError, _ZSTD[1])


def too_large(limit: int) -> PayloadTooLarge:
    """The refusal of a body over the limit."""
    return PayloadTooLarge(f"The request body is over the limit of {limit} bytes. Send fewer rows at once.")
