"""Requests from web pages: which origins may send them (CORS, of the Fetch standard)."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from tidegate import http
from tidegate.core.errors import PermissionDenied

ANY = "*"
_EXPOSED = b"served-model-name, server-timing, x-request-id, retry-after"
_ALLOWED = b"authorization, content-type, content-encoding, traceparent, x-request-id"
_PREFLIGHT_SECONDS = b"600"


class Cors:
    """Lets pages of these origins score. CORS never allows them a browser's own credentials."""

    def __init__(self, origins: str, public_origin: str = "") -> None:
        """`origins` are separated by spaces; `*` means all. `public_origin` is the platform's own, if set."""
        self._public = public_origin.encode()
        self._origins = frozenset(origin.lower().encode() for origin in origins.split())
        self._any = ANY.encode() in self._origins

    def __bool__(self) -> bool:
        return bool(self._origins)

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Refuse a page of another site that is not one of these origins. Raises PermissionDenied."""
        if not self._may(headers.get(b"origin")):
            check_same_site(headers, self._public)

    def is_preflight(self, method: bytes, headers: Mapping[bytes, bytes]) -> bool:
        """Whether this is a browser's question, without a token, whether a page may send its request."""
        asks = method == b"OPTIONS" and b"access-control-request-method" in headers
        return asks and self._may(headers.get(b"origin"))

    def headers(self, origin: bytes | None) -> http.Headers:
        """The headers of an answer to a request from that origin."""
        if not self._origins:
            return []
        vary = [] if self._any else [(b"vary", b"origin")]
        if origin is None or not self._may(origin):
            return vary
        allowed = ANY.encode() if self._any else origin
        return [(b"access-control-allow-origin", allowed), (b"access-control-expose-headers", _EXPOSED), *vary]

    def preflight(self, origin: bytes) -> bytes:
        """The head of the answer to a preflight, without the empty line at its end."""
        headers = [
            *self.headers(origin),
            (b"access-control-allow-methods", b"POST"),
            (b"access-control-allow-headers", _ALLOWED),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        ]
        return b"HTTP/1.1 204 No Content\r\n" + lines(headers)

    def _may(self, origin: bytes | None) -> bool:
        return origin is not None and (self._any or origin.lower() in self._origins)


_USUAL_PORTS = {b"http": b":80", b"https": b":443"}


def check_same_site(headers: Mapping[bytes, bytes], public: bytes = b"") -> None:
    """Refuse a browser's request from a page of another site. Raises PermissionDenied.

    A browser sends Basic credentials by itself, so such a page would use its visitor's login. `public` is the
    platform's own origin where a setting says it: a proxy may send on another Host than the browser's.
    """
    if b"origin" in headers and not _is_own(headers, public):
        raise PermissionDenied("Requests from pages of another site are refused.")


_READING = frozenset((b"GET", b"HEAD", b"OPTIONS"))


def check_own_page(method: bytes, headers: Mapping[bytes, bytes], public: bytes = b"") -> None:
    """Refuse a change by a session's cookie that does not come from a page of Tidegate's. Raises PermissionDenied.

    A browser sends the cookie by itself, whoever wrote the page. It says where a change comes from, and no script can
    write that.
    """
    if method not in _READING and not _is_own(headers, public):
        raise PermissionDenied(
            "A change by a session's cookie is accepted from Tidegate's own pages only. Programs send the header "
            "'Authorization: Bearer <token>'. Behind a proxy, set server.public_url."
        )


def _is_own(headers: Mapping[bytes, bytes], public: bytes) -> bool:
    """Whether a browser says that the request is from a page of this origin: by Fetch Metadata, else by `Origin`."""
    site = headers.get(b"sec-fetch-site", b"none")
    if site != b"none":
        return site == b"same-origin"
    return _is_same(headers.get(b"origin", b""), headers.get(b"host", b""), public)


def _is_same(origin: bytes, host: bytes, public: bytes) -> bool:
    try:
        scheme, site, *_ = urlsplit(origin.lower())
    except ValueError:  # no URL
        return False
    usual_port = _USUAL_PORTS.get(scheme, b"")
    site = site.removesuffix(usual_port)
    return bool(site) and (site == host.lower().removesuffix(usual_port) or b"%b://%b" % (scheme, site) == public)


def lines(headers: http.Headers) -> bytes:
    """Headers as they are written."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
