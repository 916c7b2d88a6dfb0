"""Errors of the HTTP parser: the request is not HTTP, or Tidegate has a defect."""

import logging

import httptools

from tidegate.core import errors
from tidegate.core.errors import TidegateError

logger = logging.getLogger(__name__)


def understood(error: httptools.HttpParserError) -> TidegateError:
    """The error for the client. A defect is logged with its traceback."""
    cause = error.__context__
    foreign = isinstance(cause, ValueError | httptools.HttpParserError)
    if isinstance(error, httptools.HttpParserCallbackError) and not foreign:
        logger.error("a request failed by a defect", exc_info=cause)
        return errors.Internal("A defect of Tidegate; the gateway's log has it.")
    return errors.BadRequest("The request is not valid HTTP/1.1.")
