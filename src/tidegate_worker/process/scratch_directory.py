"""Where a replica works: a scratch directory of its own, which the engine makes and removes."""

import os
import sys


def enter(scratch: str, temporary: str) -> None:
    """Work there from now on, and have temporary files go to `temporary`. Raises OSError.

    Without a directory it stays where it was started."""
    if not scratch:
        return
    os.chdir(scratch)
    os.environ["TMPDIR"] = temporary or scratch
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.tempdir = None  # type: ignore[attr-defined] # what it has found in a template is not for its forks
