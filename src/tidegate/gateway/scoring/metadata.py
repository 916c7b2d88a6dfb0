"""What a replica is told of a request beside its body."""

from collections.abc import Mapping

from tidegate.core import errors

# The most bytes of metadata beside a body (the frame's field has 16 bits), and of a `traceparent`.
_LONGEST_META, _LONGEST_TRACE = 16 * 1024, 256


def metadata(headers: Mapping[bytes, bytes], mark: bytes, request_id: bytes) -> bytes:
    """The metadata of a request, in the form of `wire.pack_meta`. `mark` stands before the rest.

    Raises UnsupportedMediaType where the content type is too long for it.
    """
    meta = mark + b"request-id=" + request_id
    if b"content-type" in headers:
        meta += b"\ncontent-type=" + headers[b"content-type"]
    if len(headers.get(b"traceparent", b"-" * _LONGEST_TRACE)) < _LONGEST_TRACE:
        meta += b"\ntraceparent=" + headers[b"traceparent"]
    if len(meta) > _LONGEST_META:
        raise errors.UnsupportedMediaType("The Content-Type header is too long. Send `application/json` or `text/csv`.")
    return meta
