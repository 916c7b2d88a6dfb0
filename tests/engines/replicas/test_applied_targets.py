"""The applied targets on disk."""

import stat
from pathlib import Path

import pytest

from tests.engines.machine import Machine
from tidegate.core.endpoint.revision import Proof, RevisionId
from tidegate.engines.replicas.applied_targets import AppliedTarget, AppliedTargets


async def test_what_was_saved_is_loaded(tmp_path: Path, machine: Machine) -> None:
    targets = AppliedTargets(tmp_path)
    first = AppliedTarget(machine.target("a"), proof=Proof("signature", "thin"))
    second = AppliedTarget(machine.target("b"), removing=True)
    for applied in (AppliedTarget(machine.target("a")), first, second):
        await targets.save(applied)
    assert AppliedTargets(tmp_path).load() == {"a": first, "b": second}
    (tmp_path / "a.refuted").write_text("{}\n")
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o600  # it holds environment variables
    await targets.forget(RevisionId("a"))
    await targets.forget(RevisionId("a"))
    assert set(AppliedTargets(tmp_path).load()) == {"b"}
    assert not (tmp_path / "a.refuted").exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"target": 1}', b"\xff\xfe", b"[]"])
async def test_a_corrupt_file_is_set_aside(content: bytes, tmp_path: Path, machine: Machine) -> None:
    await AppliedTargets(tmp_path).save(AppliedTarget(machine.target("good")))
    (tmp_path / "bad.json").write_bytes(content)
    assert set(AppliedTargets(tmp_path).load()) == {"good"}
    assert (tmp_path / "bad.json.corrupt").read_bytes() == content
    assert set(AppliedTargets(tmp_path).load()) == {"good"}


async def test_what_a_killed_agent_had_half_written_counts_as_nothing(tmp_path: Path, machine: Machine) -> None:
    applied = AppliedTarget(machine.target("a"))
    await AppliedTargets(tmp_path).save(applied)
    (tmp_path / "a.json.new").write_bytes(b'{"targ')
    assert AppliedTargets(tmp_path).load() == {"a": applied}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
