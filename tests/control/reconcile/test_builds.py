"""Preparation: once per model version, bounded, cancellable, and with a log that survives."""

import asyncio
import contextlib
import errno
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.control.house import House, an_entity, until
from tidegate.control.reconcile.build_slots import BuildSlots
from tidegate.control.reconcile.model_cache import ModelCache
from tidegate.core.endpoint.revision import Environment, Revision, RevisionId
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion
from tidegate.core.errors import BuildFailed, Unavailable
from tidegate.core.rollout.snapshot import Preparation, PreparationState
from tidegate.ports import Log


def a_revision(number: int, version: str = "1") -> Revision:
    entity = replace(an_entity(version), resolved=ModelVersion("wine", version))
    return Revision(RevisionId(f"{number:016x}"), "id", "wine", entity, 1)


async def ended(house: House, *revisions: Revision) -> list[Preparation]:
    await until(lambda: all(house.builds.preparations[r.id].state is not PreparationState.RUNNING for r in revisions))
    return [house.builds.preparations[r.id] for r in revisions]


async def test_a_model_version_is_downloaded_once_for_all(house: House) -> None:
    revisions = [a_revision(1), a_revision(2), a_revision(3, "2")]
    for revision in revisions:
        house.builds.start(revision)
        house.builds.start(revision)
    first, second, third = await ended(house, *revisions)
    assert sorted(model.version for model in house.registry.downloads) == ["1", "2"]
    assert first.model_dir == second.model_dir != third.model_dir
    assert (Path(first.model_dir) / "MLmodel").exists()
    assert Path(first.model_dir).stat().st_mtime == house.clock.now()


async def test_a_version_that_was_registered_anew_is_downloaded_anew(house: House) -> None:
    directories = []
    for number in range(1, 4):
        version = await house.registry.resolve(ModelRef("wine", "1"))
        entity = replace(an_entity("1"), resolved=version)
        house.builds.start(Revision(RevisionId(f"{number:016x}"), "id", "wine", entity, 1))
        directories.append((await ended(house, replace(a_revision(number), entity=entity)))[0].model_dir)
        if number == 2:
            house.registry.add("wine", "1")
    assert len(house.registry.downloads) == len(set(directories)) == 2
    assert directories[0] == directories[1]


def test_what_was_downloaded_before_that_was_told_apart_is_found(house: House) -> None:
    directory = ModelCache(house.data, "reg").directory(ModelVersion("wine", "1"))
    assert directory.name == hashlib.sha256(b"reg\nwine\n1").hexdigest()[:16]


async def test_no_more_builds_run_at_once_than_allowed(house: House) -> None:
    house.builder.gate.clear()
    revisions = [a_revision(number) for number in range(5)]
    for revision in revisions:
        house.builds.start(revision)
    await asyncio.sleep(0.05)
    assert house.builder.running == 2
    waiting = house.data.build_log(revisions[4].id).read_text()
    assert "Waiting for a free slot: the build of 'wine-1' has been running for 0 s, the build of" in waiting
    house.builder.gate.set()
    await ended(house, *revisions)
    assert house.builder.most == 2
    assert house.builds.results["done"] == 5


async def test_a_build_that_has_no_end_fails_and_gives_its_slot_to_the_next() -> None:
    slots, lines = BuildSlots("build", 1, 0.05), list[str]()
    entered = asyncio.Event()

    async def build(seconds: float) -> None:
        async with slots.turn("slow", lines.append):
            entered.set()
            await asyncio.sleep(seconds)

    hung = asyncio.create_task(build(600))
    await entered.wait()
    await build(0)
    with pytest.raises(BuildFailed, match=r"The build was ended after 0.05 s. .* environments.build_timeout_seconds"):
        await hung
    assert lines == ["Waiting for a free slot: the build of 'slow' has been running for 0 s."]


async def test_a_time_limit_within_a_build_stays_what_it_is() -> None:
    with pytest.raises(TimeoutError):
        async with BuildSlots("build", 1, 60.0).turn("slow", lambda _: None):
            raise TimeoutError


async def test_what_was_built_before_waits_for_no_build(house: House) -> None:
    house.builder.gate.clear()
    busy = [a_revision(number) for number in (1, 2)]
    for revision in busy:
        house.builds.start(revision)
    await until(lambda: house.builder.running == 2)
    house.builder.there.add("")  # the requirements of all models here
    house.builds.start(a_revision(3, "2"))
    await ended(house, a_revision(3, "2"))
    assert house.builder.running == 2
    house.builder.gate.set()
    await ended(house, *busy)


async def test_the_log_is_there_from_the_first_second(house: House) -> None:
    house.builder.gate.clear()
    revision = a_revision(1)
    house.builds.start(revision)
    log = house.data.build_log(revision.id)
    await until(lambda: log.exists() and "Building for" in log.read_text())
    lines = log.read_text().splitlines()
    assert lines[0] == "2023-11-14T22:13:20Z Preparing served entity 'wine-1': model wine, version 1."


async def test_an_abandoned_build_ends_and_may_begin_anew(house: House) -> None:
    house.builder.gate.clear()
    revision = a_revision(1)
    house.builds.start(revision)
    await until(lambda: house.builder.running == 1)
    await house.builds.abandon(revision.id)
    assert (house.builder.running, house.builder.cancelled) == (0, 1)
    assert house.builds.preparations == {}
    house.builder.gate.set()
    house.builds.start(revision)
    assert (await ended(house, revision))[0].state is PreparationState.DONE


async def test_a_build_that_ends_well_although_it_was_given_up_does_not_count(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, begun = house.builder.build, asyncio.Event()

    async def stubborn(*arguments: Any) -> Environment:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return await build(*arguments)

    monkeypatch.setattr(house.builder, "build", stubborn)
    revision = a_revision(1)
    house.builds.start(revision)
    await begun.wait()
    await house.builds.abandon(revision.id)
    assert "Prepared." in house.data.build_log(revision.id).read_text()
    assert (house.builds.preparations, house.builds.results["done"]) == ({}, 0)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full."),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (RuntimeError("boom"), "a defect of Tidegate"),
        (Unavailable("The registry is away."), "The registry is away."),
    ],
)
async def test_a_failure_is_a_sentence(house: House, failure: Exception, sentence: str) -> None:
    house.builder.fault = failure
    revision = a_revision(1)
    house.builds.start(revision)
    (preparation,) = await ended(house, revision)
    assert preparation.state is PreparationState.FAILED
    assert sentence in preparation.message
    assert preparation.message in house.data.build_log(revision.id).read_text()
    assert house.builds.results["failed"] == 1


async def test_a_full_disk_while_downloading_fails_the_preparation(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: ModelVersion, __: Path, ___: Log) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(house.registry, "download", full)
    revision = a_revision(1)
    house.builds.start(revision)
    assert "The disk is full" in (await ended(house, revision))[0].message


async def test_a_log_that_cannot_be_written_does_not_fail_the_build(house: House) -> None:
    house.data.build_logs.rmdir()
    house.data.build_logs.write_text("in the way")
    revision = a_revision(1)
    house.builds.start(revision)
    assert (await ended(house, revision))[0].state is PreparationState.DONE
