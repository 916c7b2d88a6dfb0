"""Why a command ends with exit status 1: a sentence for the person who typed it."""


class Failure(Exception):
    """A command could not do what was asked. `details` are lines to print after the sentence, such as a log's tail."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Unreachable(Failure):
    """No server answers, or its answer broke off; the same call may succeed later."""


class Refused(Failure):
    """The server answered with an error. `status` is HTTP's; `code` is the `error_code` of Databricks' error shape."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
