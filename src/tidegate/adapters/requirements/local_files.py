"""The files and folders that a model's requirements name: checks that they are the model's own, and reads them.

Whoever logs a model writes these lines. A path that leads out of the model would build what lies on the server, and a
pipe or a file such as `/proc/kmsg` has no end. So a process of its own reads the files, and ends with its caller:

    stdin    {"model": FOLDER, "named": [PATH, …], "digested": [PATH, …]}
    stdout   {"digest"} or {"refused"}
"""

import asyncio
import hashlib
import json
import os
import stat
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tidegate.core.errors import BuildFailed

_MAX_LOCAL_BYTES = 16 * 2**30  # of all that the requirements name
# -P: a folder `tidegate` in the working directory must not be taken for the package.
_COMMAND = (sys.executable, "-P", "-m", "tidegate.adapters.requirements.local_files")
_ADVICE = "Log the model with plain files, or correct the line."


def in_model(given: str, folder: Path, model_dir: Path) -> Path:
    """The file or folder of the model that a path in `folder` means, without links. Raises BuildFailed."""
    with suppress(OSError, RuntimeError, ValueError):  # a name that is too long, links in a circle, a NUL
        path = (folder / given).resolve()
        if not path.is_relative_to(model_dir):
            raise BuildFailed(f"The model's requirements name '{given[:200]}', which is not in the model. {_ADVICE}")
        if path.is_file() or path.is_dir():
            return path
    raise BuildFailed(
        f"The model's requirements name '{given[:200]}', which is neither a package nor a file in the model. "
        "Log the model with that file, or correct the line."
    )


async def check_and_digest(named: Iterable[Path], digested: Iterable[Path], model_dir: Path) -> str:
    """A digest of the contents of `digested`, files and folders, named as seen from the model.

    Raises BuildFailed where these or the other `named` ones hold links that lead out of the model, anything that is
    neither a file nor a folder, or too much.
    """
    paths = {"named": [*dict.fromkeys(map(str, named))], "digested": [*dict.fromkeys(map(str, digested))]}
    if not any(paths.values()):
        return digest_of_files((), model_dir)
    process = await asyncio.create_subprocess_exec(*_COMMAND, stdin=PIPE, stdout=PIPE)
    try:
        told, _ = await process.communicate(json.dumps({"model": str(model_dir), **paths}).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    if process.returncode:
        raise BuildFailed(
            "The files that the model's requirements name cannot be read; the server's log has the cause."
        )
    answer = json.loads(told)
    if "refused" in answer:
        raise BuildFailed(answer["refused"])
    return str(answer["digest"])


def digest_of_files(paths: Iterable[Path], model_dir: Path) -> str:
    """A digest of the contents of files and folders, named as seen from the model."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                with file.open("rb") as content:
                    digest.update(f"{os.path.relpath(file, model_dir)}\0".encode())
                    digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def check_files(paths: Iterable[Path], model_dir: Path) -> None:
    """Raise BuildFailed where something in these files and folders may not be read; see `check_and_digest`."""
    total = 0
    for path in paths:
        for each in _all_in(path):
            name = os.path.relpath(each, model_dir)
            if each.is_symlink() and not each.resolve().is_relative_to(model_dir):
                raise BuildFailed(f"'{name}' of the model is a link that leads out of the model. {_ADVICE}")
            status = each.stat()
            if stat.S_ISREG(status.st_mode):
                total += status.st_size
            elif not stat.S_ISDIR(status.st_mode):
                raise BuildFailed(f"'{name}' of the model is neither a file nor a folder. {_ADVICE}")
    if total > _MAX_LOCAL_BYTES:
        raise BuildFailed(
            f"The files that the model's requirements name have {total / 2**30:.1f} GiB; "
            f"{_MAX_LOCAL_BYTES / 2**30:.0f} GiB are allowed. Log them as artifacts instead."
        )


def _all_in(path: Path) -> Iterator[Path]:
    yield path
    yield from path.rglob("*")


def main() -> None:
    """Answer what stdin asks."""
    asked = json.load(sys.stdin)
    model_dir = Path(asked["model"])
    digested = [Path(path) for path in asked["digested"]]
    try:
        check_files([*digested, *map(Path, asked["named"])], model_dir)
        answer = {"digest": digest_of_files(digested, model_dir)}
    except BuildFailed as refused:
        answer = {"refused": refused.message}
    except (OSError, RuntimeError) as error:  # gone meanwhile, not readable, links in a circle
        answer = {"refused": f"The files that the model's requirements name cannot be read: {error}. {_ADVICE}"}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
