"""Bodies that come compressed: decoded within the limit, or refused by the coding's name."""

import asyncio
import contextlib
import gzip
import sys
import types
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.house import V1, house
from tests.gateway.scoring.test_request import assert_error
from tidegate.core.errors import BadRequest, PayloadTooLarge, TidegateError, UnsupportedMediaType
from tidegate.gateway.scoring import content_coding
from tidegate.gateway.scoring.content_coding import Decoder, decoder

LIMIT = 100_000
BODY = b'{"inputs": ' + str(list(range(3000))).encode() + b"}"


def bare(body: bytes) -> bytes:
    """`deflate` as some clients send it: without zlib's head."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


CODINGS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"X-GZIP", gzip.compress),
    "deflate": (b"deflate", zlib.compress),
    "bare deflate": (b"Deflate", bare),
}


def decode(name: bytes, data: bytes, step: int = LIMIT, limit: int = LIMIT) -> bytes:
    """The whole body, fed in parts of that size."""
    one = Decoder(name, limit)
    found = b"".join(one.feed(data[at : at + step]) for at in range(0, len(data), step))
    one.finish()
    return found


@pytest.mark.parametrize("kind", CODINGS)
@pytest.mark.parametrize("step", [1, 7, LIMIT])
def test_it_is_decoded_in_whatever_parts_it_comes(kind: str, step: int) -> None:
    name, compress = CODINGS[kind]
    for body in (BODY, b"", b"[1]"):
        assert decode(name, compress(body), step) == body


@pytest.mark.parametrize("kind", CODINGS)
def test_the_limit_is_that_of_the_decoded_body(kind: str) -> None:
    name, compress = CODINGS[kind]
    assert len(decode(name, compress(b"1" * LIMIT))) == LIMIT
    with pytest.raises(PayloadTooLarge, match=f"{LIMIT} bytes"):
        decode(name, compress(b"1" * (LIMIT + 1)))


@pytest.mark.parametrize("step", [10, LIMIT])
def test_a_bomb_takes_no_more_memory_than_the_limit(step: int) -> None:
    given: list[bytes] = []
    bomb, one = gzip.compress(b"0" * 50_000_000), Decoder(b"gzip", LIMIT)
    with pytest.raises(PayloadTooLarge):
        given.extend(one.feed(bomb[at : at + step]) for at in range(0, len(bomb), step))
    assert sum(map(len, given)) <= LIMIT


def test_what_says_nothing_is_bounded_too() -> None:
    one = Decoder(b"gzip", 1000)
    with pytest.raises(PayloadTooLarge):
        for _ in range(1000):
            one.feed(gzip.compress(b""))


def test_members_of_gzip_follow_one_another() -> None:
    assert decode(b"gzip", gzip.compress(b"[1,") + gzip.compress(b"2]"), step=3) == b"[1,2]"


@pytest.mark.parametrize("kind", CODINGS)
def test_what_is_broken_is_refused(kind: str) -> None:
    name, compress = CODINGS[kind]
    whole = compress(BODY)
    for broken in (whole[:-1], whole[: len(whole) // 2], whole[:1], b"{}" + whole, whole + b"[1]", BODY):
        with pytest.raises(BadRequest, match=r"not valid (gzip|deflate)"):
            decode(name, broken)


@given(st.sampled_from(sorted(CODINGS)), st.binary(max_size=60), st.integers(1, 9))
def test_whatever_comes_is_decoded_or_refused(kind: str, data: bytes, step: int) -> None:
    with contextlib.suppress(TidegateError):
        assert len(decode(CODINGS[kind][0], data, step, limit=2000)) <= 2000


@pytest.mark.parametrize("name", [b"br", b"compress", b"gzip, gzip", b"\xffsecret" * 20])
def test_other_codings_are_named(name: bytes) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        decoder(name, LIMIT)
    assert name.decode("latin-1")[:8].encode("ascii", "backslashreplace").decode() in caught.value.message
    assert "gzip, deflate" in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("name", [None, b"", b"identity", b" Identity "])
def test_no_coding_needs_no_decoder(name: bytes | None) -> None:
    assert decoder(name, LIMIT) is None


# --- zstd, where a library is there; a stand-in where none is


class ZstdError(Exception):
    """Of the stand-ins."""


class StandIn:
    """A decoder that repeats what it gets a thousand times; `!` ends a frame, and `?` is an error."""

    def __init__(self, **_options: Any) -> None:
        self.eof, self.unused_data = False, b""

    def decompressobj(self) -> "StandIn":
        return self

    def decompress(self, data: bytes, max_length: int = 10**9) -> bytes:
        if self.eof:
            raise EOFError
        if b"?" in data:
            raise ZstdError
        data, end, rest = data.partition(b"!")
        self.eof, self.unused_data = bool(end), rest
        return (data * 1000)[:max_length]


@pytest.fixture(params=["compression.zstd", "backports.zstd", "zstandard"])
def zstd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library for it, which is found."""
    window = types.SimpleNamespace(window_log_max=1)
    library = types.SimpleNamespace(ZstdDecompressor=StandIn, ZstdError=ZstdError, DecompressionParameter=window)
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, library if name == request.param else None)
    found = content_coding._zstd()
    assert found is not None
    monkeypatch.setattr(content_coding, "_ZSTD", found)
    monkeypatch.setitem(content_coding._CODINGS, "zstd", found[0])


@pytest.mark.usefixtures("zstd")
def test_zstd_is_decoded_where_a_library_is_there() -> None:
    assert decode(b"zstd", b"a!b!") == b"a" * 1000 + b"b" * 1000
    with pytest.raises(PayloadTooLarge):
        decode(b"zstd", b"a" * 5000 + b"!")
    for broken in (b"ab", b"?", b"a!?"):
        with pytest.raises(BadRequest, match="not valid zstd"):
            decode(b"zstd", broken)


def test_without_a_library_zstd_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)
    assert content_coding._zstd() is None
    monkeypatch.delitem(content_coding._CODINGS, "zstd", raising=False)
    with pytest.raises(UnsupportedMediaType, match="'zstd'"):
        decoder(b"zstd", LIMIT)


# --- on its way


async def parts(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
        await asyncio.sleep(0)


async def test_a_replica_gets_the_decoded_body(tmp_path: Path) -> None:
    async with house(tmp_path, max_body_bytes=LIMIT) as h:
        replica = await h.replica("aaaa0001")
        h.agent.place(V1, replica)
        for name, compress in CODINGS.values():
            headers = {"content-encoding": name.decode()}
            for body in (compress(BODY), parts(compress(BODY), 100)):
                answer = await h.score(body, headers=headers)
                assert answer.status_code == 200
                assert replica.seen[-1].body == BODY
            assert_error(await h.score(compress(b"1" * (LIMIT + 1)), headers=headers), 413, "INVALID_PARAMETER_VALUE")
            assert_error(await h.score(compress(BODY)[:-9], headers=headers), 400, "BAD_REQUEST", "Content-Encoding")
        answer = await h.score(BODY, headers={"content-encoding": "br"})
        assert_error(answer, 415, "INVALID_PARAMETER_VALUE", "'br'", "gzip, deflate")
        assert (await h.score(BODY, headers={"content-encoding": "identity"})).status_code == 200
