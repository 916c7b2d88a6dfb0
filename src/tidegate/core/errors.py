"""The errors of Tidegate. Each has a fault, a code and a sentence on what to do next.

`tidegate.http` has the statuses.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar


class Fault(StrEnum):
    """Whose fault an error is."""

    CALLER = "caller"
    MODEL = "model"
    PLATFORM = "platform"


class TidegateError(Exception):
    """An error with a known cause.

    `message` is one sentence for the person who reads it. `retry_after` is the number of seconds after which the same
    call may succeed, or None when trying again will not help.
    """

    fault: ClassVar[Fault] = Fault.PLATFORM
    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class CallerError(TidegateError):
    """The request cannot be carried out as it is."""

    fault = Fault.CALLER


class BadRequest(CallerError):
    """The body cannot be read."""

    code = "BAD_REQUEST"


class InvalidParameter(CallerError):
    """A field has a value that is not allowed."""

    code = "INVALID_PARAMETER"


class PayloadTooLarge(CallerError):
    """The body is larger than allowed."""

    code = "PAYLOAD_TOO_LARGE"


class HeadersTooLarge(CallerError):
    """The request's line and headers are larger than allowed."""

    code = "HEADERS_TOO_LARGE"


class RequestTimeout(CallerError):
    """The request arrives too slowly."""

    code = "REQUEST_TIMEOUT"


class UnsupportedMediaType(CallerError):
    """The body has a content type or a coding that is not supported."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class Unauthenticated(CallerError):
    """The credentials are missing or wrong. With `challenge`, a browser asks its user for a name and a password."""

    code = "UNAUTHENTICATED"

    def __init__(self, message: str, *, challenge: bool = True) -> None:
        super().__init__(message)
        self.challenge = challenge


class PermissionDenied(CallerError):
    """The caller's credentials do not allow this."""

    code = "PERMISSION_DENIED"


class NotFound(CallerError):
    """The endpoint, model, version, alias or page does not exist."""

    code = "NOT_FOUND"


class MethodNotAllowed(CallerError):
    """The path does not support this method. `allow` has the methods that it supports."""

    code = "METHOD_NOT_ALLOWED"

    def __init__(self, message: str, *, allow: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allow = tuple(allow)


class AlreadyExists(CallerError):
    """The name is in use."""

    code = "ALREADY_EXISTS"


class Conflict(CallerError):
    """Another change is under way. The caller may try again once that has ended."""

    code = "CONFLICT"


class TooManyRequests(CallerError):
    """A rate limit is exceeded, or a queue is full."""

    code = "TOO_MANY_REQUESTS"


class ModelError(TidegateError):
    """The code of the model, or a package of it, failed."""

    fault = Fault.MODEL
    code = "MODEL_ERROR"


class ModelCrashed(ModelError):
    """The process of the model ended."""

    code = "MODEL_CRASHED"


class BuildFailed(ModelError):
    """The model's environment could not be built. The build log has the cause."""

    code = "BUILD_FAILED"


class ConfigurationError(TidegateError):
    """A setting is wrong, or this machine lacks something. `tidegate up` ends with the sentence."""

    fault = Fault.CALLER
    code = "CONFIGURATION"


class Unavailable(TidegateError):
    """A part of the platform is missing for now."""

    code = "UNAVAILABLE"


class DeadlineExceeded(TidegateError):
    """There was no answer before the request's deadline."""

    code = "DEADLINE_EXCEEDED"


class Internal(TidegateError):
    """A defect of Tidegate."""

    code = "INTERNAL"
