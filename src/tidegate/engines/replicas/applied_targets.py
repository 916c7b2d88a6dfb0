"""The applied targets on disk, one file per revision: what an agent holds after a restart without asking anyone."""

import asyncio
import logging
from pathlib import Path

import msgspec

from tidegate.atomic_write import draft_of, write_atomically
from tidegate.core.endpoint.revision import Proof, RevisionId, RevisionTarget
from tidegate.telemetry import fields

_log = logging.getLogger(__name__)


class Applied(msgspec.Struct, frozen=True):
    """A target that was applied, with its proof; `removing` when it drains and is then to be forgotten.

    `answer` is what the model said to its example when it was proved, as JSON; None where nobody knows.
    """

    target: RevisionTarget
    removing: bool = False
    proof: Proof | None = None
    answer: str | None = None


class Targets:
    """The files `<revision>.json`. A file appears whole or not at all, and is durable when `save` has returned."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> dict[RevisionId, Applied]:
        """All that is there. A file that cannot be understood is set aside as `<revision>.json.corrupt`. Blocks."""
        found: dict[RevisionId, Applied] = {}
        for draft in self._folder.glob(draft_of(Path("*.json")).name):  # of an agent that was killed
            draft.unlink(missing_ok=True)
        for file in sorted(self._folder.glob("*.json")):
            try:
                applied = msgspec.json.decode(file.read_bytes(), type=Applied)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.error("a target's file is corrupt and was set aside", extra=fields(file=file, error=error))
                file.replace(file.with_suffix(".json.corrupt"))
                continue
            found[applied.target.revision] = applied
        return found

    async def save(self, applied: Applied) -> None:
        """Write it. Raises OSError."""
        file, content = self._file(applied.target.revision), msgspec.json.encode(applied)
        await asyncio.to_thread(write_atomically, file, content, durable=True)

    async def forget(self, revision: RevisionId) -> None:
        """Drop it, with what its replicas have noted. Idempotent. Raises OSError."""
        for file in (self._file(revision), self._folder / f"{revision}.refuted"):
            await asyncio.to_thread(file.unlink, missing_ok=True)

    def _file(self, revision: RevisionId) -> Path:
        return self._folder / f"{revision}.json"
