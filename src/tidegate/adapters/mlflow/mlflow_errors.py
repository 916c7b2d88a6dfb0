"""What MLflow raises, as Tidegate's errors."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tidegate.adapters.mlflow.artifact_locations import shown
from tidegate.core import errors


@contextmanager
def as_tidegate_errors(uri: str) -> Iterator[None]:
    """Raise what MLflow raises as errors of Tidegate, which name the registry at `uri`."""
    from mlflow.exceptions import MlflowException

    where = f"The model registry at {shown(uri)}"
    try:
        yield
    except errors.TidegateError:
        raise
    except Exception as error:
        text = str(error)
        if _isdisk_full(error, text):
            raise disk_full("no space is left on the device") from error
        status = error.get_http_status_code() if isinstance(error, MlflowException) else 500
        if status in (401, 403):
            raise errors.ConfigurationError(
                f"{where} refused the credentials ({status}). Give a token that may read models: "
                "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
            ) from error
        if isinstance(error, MlflowException) and error.error_code == "ENDPOINT_NOT_FOUND":
            raise errors.ConfigurationError(
                f"{where} is not an MLflow server: it answers 404. Check the URI."
            ) from error
        if "out-of-date database schema" in text:
            raise errors.ConfigurationError(
                f"{where} has the schema of another MLflow version. Back it up and run `mlflow db upgrade`."
            ) from error
        raise errors.Unavailable(f"{where} cannot be used now: {_reason(text)}.", retry_after=5) from error


def _isdisk_full(error: BaseException, text: str) -> bool:
    # MLflow downloads on threads, and puts the text of their exceptions into the text of its own.
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or any(os.strerror(number) in text for number in full)


def disk_full(detail: str) -> errors.Unavailable:
    """The error for a model that the disk cannot hold."""
    return errors.Unavailable(
        f"The disk for models is full: {detail}. No part of the model was kept. Free some space, then try again.",
        retry_after=30,
    )


_REASONS = re.compile(
    r"\[Errno -?\d+\] ([^'\")\]]+)|(too many \d+ error responses)|((?:read|connect)[a-z ]* timed? ?out)", re.IGNORECASE
)


def _reason(text: str) -> str:
    """The cause among the several hundred characters that nested HTTP exceptions print."""
    found = _REASONS.search(text)
    if found:
        return next(group for group in found.groups() if group).strip()
    return text.strip().splitlines()[0][:300].rstrip(".") if text.strip() else "no reason given"
