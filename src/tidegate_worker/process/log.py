"""The replica's log: plain lines with timestamps, between the lines that the model prints."""

import time
import traceback

from tidegate_worker.process import outlets

_KEPT = 32 * 1024  # characters of a long traceback that are kept of its beginning and of its end


def log(line: str) -> None:
    """Write one line with the time in UTC."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    outlets.write_log(f"{stamp}.{int(now * 1000) % 1000:03d}Z {line}\n")


def log_exception(line: str, error: BaseException) -> None:
    """Write one line and the exception's traceback below it."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
    if len(text) > 2 * _KEPT:
        text = f"{text[:_KEPT]}\n… {len(text) - 2 * _KEPT} characters are left out …\n{text[-_KEPT:]}"
    log(f"{line}\n{text}")
