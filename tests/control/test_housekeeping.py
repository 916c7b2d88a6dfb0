"""What goes and what stays: the decision by table, the deeds on real files."""

import os
from pathlib import Path

import pytest

from tests.control.house import House
from tidegate.control.housekeeping import Budget, Housekeeping, Item, what_goes
from tidegate.control.reconcile.model_cache import ModelCache
from tidegate.core.endpoint import retention
from tidegate.core.errors import NotFound
from tidegate.settings import HousekeepingSettings

DAY = 86400.0
NOW = 100 * DAY


def an_item(name: str, days: float, size: int = 10, in_use: bool = False) -> Item:
    return Item(Path(name), size, NOW - days * DAY, in_use)


@pytest.mark.parametrize(
    ("items", "size", "goes"),
    [
        ([], 100, []),
        ([an_item("new", 1), an_item("old", 8)], 100, ["old"]),
        ([an_item("old", 8, in_use=True)], 1, []),
        ([an_item("a", 3), an_item("b", 2), an_item("c", 1)], 20, ["a"]),
        ([an_item("a", 3), an_item("b", 2), an_item("c", 1)], 9, ["a", "b", "c"]),
        ([an_item("used", 5, 90, True), an_item("a", 3), an_item("b", 2)], 100, ["a"]),
        ([an_item("just built", 0.01)], 1, []),
    ],
)
def test_what_goes(items: list[Item], size: int, goes: list[str]) -> None:
    assert [item.path.name for item in what_goes(items, Budget(7 * DAY, size), NOW)] == goes


def keeper(house: House, **settings: float) -> Housekeeping:
    cache = ModelCache(house.data, "reg")
    kept = HousekeepingSettings(**settings)  # type: ignore[arg-type]
    return Housekeeping(cache, kept, house.clock, house.control.world, house.builds)


def make(folder: Path, days: float, house: House) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"x" * 10_000)
    then = house.clock.now() - days * DAY
    os.utime(folder, (then, then))
    return folder


async def test_a_sweep_removes_what_is_unused_and_touches_what_is_used(house: House) -> None:
    await house.create()
    await house.settle()
    (model,) = house.data.models.iterdir()
    os.utime(model, (0, 0))
    (revision,) = house.control.world.snapshot.revisions.values()
    assert revision.environment is not None
    used = make(house.data.envs / revision.environment.digest, 30, house)
    old = [make(root / "unused", 8, house) for root in (house.data.envs, house.data.overlays, house.data.models)]
    young = make(house.data.envs / "young", 6, house)
    cache = make(house.data.envs / ".hidden", 30, house)
    await keeper(house).sweep()
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in (used, young, cache, model))
    assert used.stat().st_mtime == model.stat().st_mtime == house.clock.now()
    assert not list(house.data.models.glob(".trash*"))


async def test_over_the_budget_the_longest_unused_goes_first(house: House) -> None:
    await house.control.reconcile()
    older, newer = make(house.data.envs / "older", 3, house), make(house.data.envs / "newer", 2, house)
    await keeper(house, disk_budget_gb=0.000015).sweep()
    assert not older.exists()
    assert newer.exists()


async def test_nothing_goes_before_the_first_look_at_the_store(house: House) -> None:
    old = make(house.data.envs / "unused", 8, house)
    await keeper(house).sweep()
    assert old.exists()


async def test_uvs_cache_is_pruned_when_all_else_does_not_suffice(house: House) -> None:
    await house.control.reconcile()
    dangling = house.data.uv_cache / "archive-v0" / "dangling"
    dangling.mkdir(parents=True)
    (dangling / "file").write_bytes(b"x" * 10_000)
    await keeper(house, disk_budget_gb=1.0).sweep()
    assert dangling.exists()
    await keeper(house, disk_budget_gb=0.0).sweep()
    assert not dangling.exists()


async def test_versions_long_gone_leave_the_record_and_then_their_logs_go(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "KEPT", 2)
    await house.create()
    await house.settle()
    (first,) = house.control.world.snapshot.revisions
    for version in ("2", "3", "4", "5", "6"):
        house.registry.add("wine", version)
        await house.update(version)
        await house.settle()
        await house.until(lambda: len(house.engine.held) == 2)
    await house.settle()
    entities = {revision.entity.name for revision in (await house.store.revisions()).values()}
    assert entities == {"wine-3", "wine-4", "wine-5", "wine-6"}
    log = house.data.build_log(first)
    os.utime(log, (0, 0))
    await keeper(house).sweep()
    assert not log.exists()
    assert all(house.data.build_log(rid).exists() for rid in house.control.world.snapshot.revisions)
    with pytest.raises(NotFound, match=r"no configuration 1 any more.* served before.*: 5, 6\."):
        await house.endpoints.build_logs("wine", "wine-1", 1)
    await house.update("1")
    await house.settle()
    assert house.serving == ["wine-1"]


async def test_logs_of_revisions_long_gone_go(house: House) -> None:
    await house.create()
    await house.settle()
    (rid,) = house.control.world.snapshot.revisions
    replicas = house.data.logs / "replicas"
    replicas.mkdir()
    gone = [house.data.build_logs / "gone.log", replicas / "gone.log", replicas / "gone.log.1"]
    for log in [*gone, house.data.build_log(rid), house.data.build_logs / "recent.log"]:
        log.write_text("text")
    for log in [*gone, house.data.build_log(rid)]:
        os.utime(log, (0, 0))
    os.utime(house.data.build_logs / "recent.log", (house.clock.now(), house.clock.now()))
    await keeper(house).sweep()
    assert not any(log.exists() for log in gone)
    assert house.data.build_log(rid).exists()
    assert (house.data.build_logs / "recent.log").exists()
