"""What the head of a request must be, so that nobody who reads it takes it for another request (RFC 9112)."""

from collections.abc import Mapping, Sequence

from tidegate.core.errors import BadRequest

# A repeated header of these has no meaning, or a different one for whoever reads the first and whoever reads the last.
_ONCE = frozenset(
    (
        b"authorization", b"content-encoding", b"content-length", b"content-type", b"host", b"origin",
        b"transfer-encoding", b"x-request-id",
    )
)  # fmt: skip


def check(version: str, headers: Sequence[tuple[bytes, bytes]], last: Mapping[bytes, bytes]) -> None:
    """Refuse a head that is ambiguous. `last` has the last value of each header. Raises BadRequest."""
    if version != "1.1" and version != "1.0":
        raise BadRequest("Send the request by HTTP/1.1.")
    if version == "1.1" and b"host" not in last:
        raise BadRequest("An HTTP/1.1 request needs a Host header.")
    if len(last) != len(headers):
        _check_repeated([name for name, _ in headers])
    if b"transfer-encoding" in last and (version == "1.0" or last[b"transfer-encoding"].strip().lower() != b"chunked"):
        raise BadRequest("The only Transfer-Encoding that is understood is chunked, by HTTP/1.1.")


def _check_repeated(names: Sequence[bytes]) -> None:
    for name in sorted(_ONCE):
        if names.count(name) > 1:
            raise BadRequest(f"The request has more than one {name.decode().title()} header. Send one.")
