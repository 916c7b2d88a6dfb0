"""The administrator's token: made on the first start, kept in the data directory, for its owner's eyes alone."""

import logging
import secrets
import stat
from pathlib import Path

from tidegate.atomic_write import write_atomically
from tidegate.core.errors import ConfigurationError
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)


def ensure(path: Path) -> None:
    """Make the token if there is none, and keep others from reading it.

    Raises ConfigurationError when it cannot be read, written or protected.
    """
    try:
        if not _is_there(path):
            _make(path)
        elif stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
            logger.warning(
                "the administrator's token was open to other users of this machine; no more, but delete it and start "
                "again if one of them may have read it",
                extra=fields(file=path),
            )
    except OSError as error:
        raise ConfigurationError(
            f"The administrator's token {path} cannot be used: {error.strerror}. Mend that, then start again."
        ) from None


def _is_there(path: Path) -> bool:
    try:
        return bool(path.read_bytes().strip())  # an empty one would let everybody in
    except FileNotFoundError:
        return False


def _make(path: Path) -> None:
    write_atomically(path, secrets.token_urlsafe(), durable=True)  # its owner may have copied it when power is lost
