"""Bytecode is shared where sources are, and only there."""

import os
import py_compile
import subprocess
import sys
from pathlib import Path

from tidegate.adapters.environments.bytecode import Bytecode

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
PACKAGES = f"lib/python{MINOR}/site-packages"


def environment(root: Path, name: str, *cached: Path) -> Path:
    """An environment whose package is linked out of a cache, as uv does it."""
    package = root / name / PACKAGES / "package"
    package.mkdir(parents=True)
    for source in cached:
        os.link(source, package / source.name)
    return root / name


def cached(root: Path, name: str, text: str) -> Path:
    (root / "cache").mkdir(exist_ok=True)
    (root / "cache" / name).write_text(text)
    return root / "cache" / name


def compiled(root: Path, name: str) -> Path:
    return root / PACKAGES / "package" / "__pycache__" / f"{name}.cpython-{MINOR.replace('.', '')}.pyc"


def compile_all(root: Path) -> None:
    for source in (root / PACKAGES / "package").glob("*.py"):
        py_compile.compile(str(source), doraise=True)


def test_the_second_environment_gets_the_bytecode_of_the_first(tmp_path: Path) -> None:
    one, other = cached(tmp_path, "one.py", "x = 1"), cached(tmp_path, "other.py", "x = 2")
    bytecode = Bytecode(tmp_path / "store")
    first = environment(tmp_path, "first", one)
    assert bytecode.link(first, MINOR) == 1
    compile_all(first)
    bytecode.keep(first, MINOR)

    second = environment(tmp_path, "second", one, other)
    assert bytecode.link(second, MINOR) == 1  # `other` is new
    assert compiled(second, "one").samefile(compiled(first, "one"))
    assert not compiled(second, "other").exists()
    assert bytecode.link(environment(tmp_path, "third", one), MINOR) == 0

    script = "import package.one; print(package.one.__cached__, package.one.x)"
    before = compiled(second, "one").stat()
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=second / PACKAGES, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(compiled(second, "one")), "1"]
    after = compiled(second, "one").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # taken, not made again


def test_another_version_of_a_file_gets_nothing(tmp_path: Path) -> None:
    bytecode = Bytecode(tmp_path / "store")
    first = environment(tmp_path, "first", cached(tmp_path, "one.py", "x = 1"))
    compile_all(first)
    bytecode.keep(first, MINOR)
    (tmp_path / "cache" / "one.py").unlink()
    second = environment(tmp_path, "second", cached(tmp_path, "one.py", "x = 2"))
    assert bytecode.link(second, MINOR) == 1
    assert not compiled(second, "one").exists()


def test_what_no_environment_has_is_forgotten(tmp_path: Path) -> None:
    bytecode = Bytecode(tmp_path / "store")
    first = environment(tmp_path, "first", cached(tmp_path, "one.py", "x = 1"))
    compile_all(first)
    bytecode.keep(first, MINOR)
    assert len([path for path in (tmp_path / "store").rglob("*") if path.is_file()]) == 1
    compiled(first, "one").unlink()
    bytecode.keep(environment(tmp_path, "second"), MINOR)
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
