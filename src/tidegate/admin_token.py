"""The administrator's token, a file in the data directory that only its owner may read. The first start makes it."""

import logging
import secrets
import stat
from pathlib import Path

from tidegate.atomic_write import write_atomically
from tidegate.core.errors import ConfigurationError
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)


def ensure(path: Path) -> None:
    """Make the token where there is none, and take other users' permission to read it.

    Raises ConfigurationError when the file cannot be read, written or protected.
    """
    try:
        if not _is_there(path):
            _make(path)
        elif stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
            logger.warning(
                "the administrator's token was open to other users of this machine; its mode is 0600 now. If one of "
                "them may have read it, delete the file and start again",
                extra=fields(file=path),
            )
    except OSError as error:
        raise ConfigurationError(
            f"The administrator's token {path} cannot be used: {error.strerror}. Mend that, then start again."
        ) from None


def _is_there(path: Path) -> bool:
    try:
        return bool(path.read_bytes().strip())  # an empty token would let everybody in
    except FileNotFoundError:
        return False


def _make(path: Path) -> None:
    write_atomically(path, secrets.token_urlsafe(), durable=True)  # a user may copy it at once: it must survive
