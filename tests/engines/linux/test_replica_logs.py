"""What replicas print."""

import os
from pathlib import Path

from tidegate.engines.linux import replica_logs


def test_a_writer_goes_on_after_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "rev1.log"
    writer = replica_logs.open_log(file)
    for number in range(4):
        os.write(writer, f"part {number}\n".encode() * 10)
        replica_logs.rotate(file.parent, max_bytes=50, keep=2)
    os.write(writer, b"last\n")
    os.close(writer)
    assert file.read_text() == "last\n"
    assert sorted(path.name for path in file.parent.iterdir()) == ["rev1.log", "rev1.log.1", "rev1.log.2"]
    assert (file.parent / "rev1.log.1").read_text() == "part 3\n" * 10
    assert (file.parent / "rev1.log.2").read_text() == "part 2\n" * 10


def test_a_small_log_stays(tmp_path: Path) -> None:
    replica_logs.note(tmp_path / "rev1.log", "replica 1a2b3c4d starts")
    replica_logs.rotate(tmp_path, max_bytes=1000, keep=2)
    assert (tmp_path / "rev1.log").read_text().endswith(" tidegate: replica 1a2b3c4d starts\n")


def test_no_old_logs_are_kept_where_none_are_wanted(tmp_path: Path) -> None:
    replica_logs.note(tmp_path / "rev1.log", "a line")
    replica_logs.rotate(tmp_path, max_bytes=1, keep=0)
    assert [path.name for path in tmp_path.iterdir()] == ["rev1.log"]
    assert (tmp_path / "rev1.log").read_text() == ""
