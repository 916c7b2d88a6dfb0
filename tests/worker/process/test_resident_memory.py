"""How much memory this process has."""

import mmap

from tidegate_worker.process import resident_memory


def test_what_is_touched_is_resident() -> None:
    before = resident_memory.resident_bytes()
    with mmap.mmap(-1, 64 * 1024 * 1024) as block:
        block.write(b"x" * len(block))
        grown = resident_memory.resident_bytes() - before
    assert before > 1_000_000
    assert 60_000_000 < grown < 250_000_000
    assert resident_memory.resident_bytes() < before + grown
