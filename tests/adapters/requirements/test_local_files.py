"""The files of a model that its requirements name: what may be read, and that reading ends."""

import asyncio
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from tidegate.adapters.requirements import local_files
from tidegate.adapters.requirements.local_files import check_and_digest, check_files
from tidegate.core.errors import BuildFailed


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder, with a package in `code`."""
    model = tmp_path / "model"
    (model / "code" / "deep").mkdir(parents=True)
    (model / "code" / "deep" / "a.py").write_text("1")
    (model / "code" / "same.py").symlink_to(model / "code" / "deep" / "a.py")
    return model


@pytest.mark.parametrize("kind", ["out", "kmsg", "pipe", "folder out", "circle", "nowhere", "root"])
async def test_what_may_not_be_read_is_named(model: Path, kind: str) -> None:
    odd = model / "code" / "deep" / "odd"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        leads = {"out": "/etc/passwd", "kmsg": "/proc/kmsg", "folder out": "/etc", "circle": str(odd), "root": "/"}
        odd.symlink_to(leads.get(kind, "gone"))
    for named, digested in (([], [model / "code"]), ([model / "code"], [])):
        with pytest.raises(BuildFailed, match=r"code/deep/odd") as caught:
            await check_and_digest(named, digested, model)
        assert caught.value.message.endswith("Log the model with plain files, or correct the line.")


async def test_the_digest_is_of_names_and_contents(model: Path) -> None:
    first = await check_and_digest([], [model / "code"], model)
    assert first == await check_and_digest([model], [model / "code"], model)
    assert first == local_files.digest_of_files([model / "code"], model)
    (model / "code" / "deep" / "a.py").write_text("2")
    second = await check_and_digest([], [model / "code"], model)
    (model / "code" / "deep" / "a.py").rename(model / "code" / "deep" / "b.py")
    (model / "code" / "same.py").unlink()
    assert len({first, second, await check_and_digest([], [model / "code"], model)}) == 3


def test_too_much_is_refused_by_its_size(model: Path) -> None:
    with (model / "code" / "huge.whl").open("wb") as file:
        file.truncate(17 * 2**30)  # they take no room
    with pytest.raises(BuildFailed, match=r"have 17\.0 GiB; 16 GiB are allowed"):
        check_files([model / "code"], model)


async def test_a_read_that_does_not_end_ends_with_its_caller(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "_COMMAND", (sys.executable, "-c", "import time; time.sleep(600)"))
    before = set(psutil.Process().children())
    reading = asyncio.ensure_future(check_and_digest([], [model / "code"], model))
    children = await asyncio.to_thread(new_children, before)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not any(child.is_running() for child in children)


def new_children(before: set[psutil.Process]) -> set[psutil.Process]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := set(psutil.Process().children()) - before:
            return found
        time.sleep(0.01)
    pytest.fail("no process was started")
