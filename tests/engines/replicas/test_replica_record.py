"""Pid files of replicas on disk."""

import os
from pathlib import Path

from tidegate.core.endpoint.revision import Address, ReplicaId, RevisionId
from tidegate.engines.replicas.replica_record import ReplicaRecord, ReplicaRecords
from tidegate.processes.process_start import boot_id, start_ticks


def record(pid: int, ticks: int, replica: str = "1a2b3c4d") -> ReplicaRecord:
    address = Address(f"/run/{replica}.sock", "secret")
    return ReplicaRecord(ReplicaId(replica), RevisionId("r"), "launch", address, pid, ticks, boot_id(), started_at=0.0)


def test_only_the_same_process_is_known_again(tmp_path: Path) -> None:
    records = ReplicaRecords(tmp_path)
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    records.write(record(os.getpid(), ticks))
    records.write(record(os.getpid(), ticks + 1, "aaaaaaaa"))
    records.socket(ReplicaId("bbbbbbbb")).touch()
    assert [known.id for known in records.living()] == ["1a2b3c4d"]
    assert [file.name for file in tmp_path.iterdir()] == ["1a2b3c4d.json"]


def test_what_a_killed_agent_had_half_written_goes(tmp_path: Path) -> None:
    others = {"routes-0.json.new", "control.pid.json.new", "1a2b3c4d.sock"}
    for name in (*others, "1a2b3c4d.json.new"):
        (tmp_path / name).touch()
    ReplicaRecords(tmp_path).discard_drafts()
    assert {file.name for file in tmp_path.iterdir()} == others
