"""The applied targets on disk, one file per revision: a restarted agent holds them again without asking anyone."""

import asyncio
import logging
from pathlib import Path

import msgspec

from tidegate.atomic_write import draft_of, write_atomically
from tidegate.core.endpoint.revision import Proof, RevisionId, RevisionTarget
from tidegate.telemetry import fields

_log = logging.getLogger(__name__)


class AppliedTarget(msgspec.Struct, frozen=True):
    """A target that was applied, with its proof. `removing`: its replicas drain, and then the file is removed.

    `answer` is the model's answer to its input example when it was proved, as JSON; None where there was none.
    """

    target: RevisionTarget
    removing: bool = False
    proof: Proof | None = None
    answer: str | None = None


class AppliedTargets:
    """The files `<revision>.json`. A file survives a loss of power once `save` has returned."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> dict[RevisionId, AppliedTarget]:
        """All targets on disk. A file that cannot be read as one is renamed to `<revision>.json.corrupt`. Blocks."""
        found: dict[RevisionId, AppliedTarget] = {}
        for draft in self._folder.glob(draft_of(Path("*.json")).name):  # of an agent that was killed
            draft.unlink(missing_ok=True)
        for file in sorted(self._folder.glob("*.json")):
            try:
                applied = msgspec.json.decode(file.read_bytes(), type=AppliedTarget)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.error("a target's file is corrupt and was set aside", extra=fields(file=file, error=error))
                file.replace(file.with_suffix(".json.corrupt"))
                continue
            found[applied.target.revision] = applied
        return found

    async def save(self, applied: AppliedTarget) -> None:
        """Write a target. Raises OSError."""
        file, content = self._file(applied.target.revision), msgspec.json.encode(applied)
        await asyncio.to_thread(write_atomically, file, content, durable=True)

    async def forget(self, revision: RevisionId) -> None:
        """Remove a target, and the notes of its replicas on batching. Idempotent. Raises OSError."""
        for file in (self._file(revision), self._folder / f"{revision}.refuted"):
            await asyncio.to_thread(file.unlink, missing_ok=True)

    def _file(self, revision: RevisionId) -> Path:
        return self._folder / f"{revision}.json"
