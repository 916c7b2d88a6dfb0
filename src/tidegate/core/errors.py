"""The errors of Tidegate: each knows whose fault it is and says what to do next. No HTTP here; see `tidegate.http`."""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar


class Fault(StrEnum):
    """Whose fault an error is."""

    CALLER = "caller"
    MODEL = "model"
    PLATFORM = "platform"


class TidegateError(Exception):
    """A failure that Tidegate understands.

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
    """The caller asked for something that cannot be done as asked."""

    fault = Fault.CALLER


class BadRequest(CallerError):
    """The body could not be understood."""

    code = "BAD_REQUEST"


class InvalidParameter(CallerError):
    """A field has a value that is not allowed."""

    code = "INVALID_PARAMETER"


class PayloadTooLarge(CallerError):
    """The body is over the cap."""

    code = "PAYLOAD_TOO_LARGE"


class HeadersTooLarge(CallerError):
    """The request's line and headers are over the cap."""

    code = "HEADERS_TOO_LARGE"


class RequestTimeout(CallerError):
    """The caller sends too slowly."""

    code = "REQUEST_TIMEOUT"


class UnsupportedMediaType(CallerError):
    """The body's content type or coding is not one that is read."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class Unauthenticated(CallerError):
    """No credentials, or wrong ones."""

    code = "UNAUTHENTICATED"


class PermissionDenied(CallerError):
    """The caller is known and may not do this."""

    code = "PERMISSION_DENIED"


class NotFound(CallerError):
    """No such endpoint, model, version, alias or page."""

    code = "NOT_FOUND"


class MethodNotAllowed(CallerError):
    """The path exists, but not for this method; `allow` are those that it exists for."""

    code = "METHOD_NOT_ALLOWED"

    def __init__(self, message: str, *, allow: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allow = tuple(allow)


class AlreadyExists(CallerError):
    """The name is taken."""

    code = "ALREADY_EXISTS"


class Conflict(CallerError):
    """Something else is under way; the caller may try again when it has ended."""

    code = "CONFLICT"


class TooManyRequests(CallerError):
    """A rate or a queue is full."""

    code = "TOO_MANY_REQUESTS"


class ModelError(TidegateError):
    """The model's own code or package failed."""

    fault = Fault.MODEL
    code = "MODEL_ERROR"


class ModelCrashed(ModelError):
    """The model ended its process."""

    code = "MODEL_CRASHED"


class BuildFailed(ModelError):
    """The model's environment could not be made. The build log has the cause."""

    code = "BUILD_FAILED"


class ConfigurationError(TidegateError):
    """A setting is wrong, or this machine lacks something. Ends `tidegate up` with the sentence."""

    fault = Fault.CALLER
    code = "CONFIGURATION"


class Unavailable(TidegateError):
    """A part of the platform is not there now; it will be back."""

    code = "UNAVAILABLE"


class DeadlineExceeded(TidegateError):
    """No answer within the request's deadline."""

    code = "DEADLINE_EXCEEDED"


class Internal(TidegateError):
    """A defect of Tidegate."""

    code = "INTERNAL"
