"""The size of a directory on disk."""

import os
from pathlib import Path


def size_on_disk(root: Path) -> int:
    """Bytes on disk below a directory. A file that several environments share counts in each.

    Blocks: about a second for 10^5 files.
    """
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118 - 10^5 files: Path is slow
            except FileNotFoundError:
                continue
    return total
