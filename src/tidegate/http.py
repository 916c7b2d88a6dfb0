"""What every HTTP face shares: who is calling, which status an error has, the request's id."""

import base64
import hashlib
import itertools
import json
import math
import re
import secrets

from tidegate.core import errors

# Error → HTTP status and the `error_code` that Databricks' clients know: by it databricks-sdk and mlflow choose their
# exception and whether to retry; a code that they do not know is retried as if it were a 500.
STATUS: dict[type[errors.TidegateError], tuple[int, str]] = {
    errors.BadRequest: (400, "BAD_REQUEST"),
    errors.InvalidParameter: (400, "INVALID_PARAMETER_VALUE"),
    errors.ConfigurationError: (400, "INVALID_PARAMETER_VALUE"),
    errors.ModelError: (400, "BAD_REQUEST"),
    errors.BuildFailed: (400, "BAD_REQUEST"),
    errors.Unauthenticated: (401, "UNAUTHENTICATED"),
    errors.PermissionDenied: (403, "PERMISSION_DENIED"),
    errors.NotFound: (404, "RESOURCE_DOES_NOT_EXIST"),
    errors.MethodNotAllowed: (405, "BAD_REQUEST"),
    errors.RequestTimeout: (408, "BAD_REQUEST"),
    errors.AlreadyExists: (409, "ALREADY_EXISTS"),
    errors.Conflict: (409, "RESOURCE_CONFLICT"),
    errors.PayloadTooLarge: (413, "INVALID_PARAMETER_VALUE"),
    errors.UnsupportedMediaType: (415, "INVALID_PARAMETER_VALUE"),
    errors.TooManyRequests: (429, "RESOURCE_EXHAUSTED"),
    errors.HeadersTooLarge: (431, "INVALID_PARAMETER_VALUE"),
    errors.ModelCrashed: (500, "INTERNAL_ERROR"),
    errors.Internal: (500, "INTERNAL_ERROR"),
    errors.TidegateError: (500, "INTERNAL_ERROR"),
    errors.Unavailable: (503, "TEMPORARILY_UNAVAILABLE"),
    errors.DeadlineExceeded: (504, "DEADLINE_EXCEEDED"),
}

Headers = list[tuple[bytes, bytes]]


def status_of(error: errors.TidegateError) -> tuple[int, str]:
    """HTTP status and public `error_code` of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def error_body(error: errors.TidegateError) -> bytes:
    """The house error shape, as JSON."""
    return json.dumps({"error_code": status_of(error)[1], "message": error.message}).encode()


def error_headers(error: errors.TidegateError) -> Headers:
    """The headers that go with an error's body."""
    headers: Headers = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(math.ceil(error.retry_after)).encode()))
    if isinstance(error, errors.MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    if isinstance(error, errors.Unauthenticated) and error.challenge:
        headers.append((b"www-authenticate", b'Basic realm="tidegate"'))  # so that browsers can log in
    return headers


def token_hash(token: str) -> str:
    """The form in which tokens are kept and compared: SHA-256, hex. Tokens are random, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def bearer_token(authorization: bytes | None) -> str:
    """The token of an `Authorization` header, Bearer or Basic with the user `token`. Raises Unauthenticated."""
    if not authorization:
        raise errors.Unauthenticated(
            "No credentials were sent. Send the header 'Authorization: Bearer <token>'; "
            "the administrator's token is in admin.token in the server's data directory."
        )
    scheme, _, credentials = authorization.decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except ValueError:  # not ASCII, not base64, or not UTF-8
            raise errors.Unauthenticated("The Basic credentials are not valid base64.") from None
        if user == "token":
            return password
        raise errors.Unauthenticated("Basic credentials must have the user name 'token' and the token as password.")
    raise errors.Unauthenticated("Only Bearer and Basic credentials are understood.")


_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# Of this process, and not a secret: a count costs a hundredth of what fresh random bytes cost.
_PREFIX = secrets.token_hex(10).encode()
_count = itertools.count(1)


def request_id(given: bytes | None) -> bytes:
    """The request's id: the caller's own `x-request-id` where it is harmless, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%b%012x" % (_PREFIX, next(_count))
