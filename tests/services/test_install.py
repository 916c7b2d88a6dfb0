"""What is missing is installed, or a sentence says what to do."""

import subprocess
from pathlib import Path

import pytest

from tests.services import install, programs
from tests.services.programs import Service

ETCD = Service("Etcd", ("etcd-server",), ("usr/bin/no-such-etcd",))
REDIS = Service("Redis", ("redis-server",), ("usr/bin/no-such-redis",))


@pytest.fixture(autouse=True)
def missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two servers are missing; the folder below which packages are unpacked."""
    for module in (install, programs):
        monkeypatch.setattr(module, "UNPACKED", tmp_path / "debian")
    monkeypatch.setattr(install, "SERVICES", (ETCD, REDIS))
    return tmp_path / "debian"


def apt_get(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have only these programs: an `apt-get` that does so, and what shell scripts use."""
    for name in ("apt-get", "dpkg-deb"):
        file = folder / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_without_apt_get_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    install.main()
    said = capsys.readouterr().err
    assert "there is no apt-get. Install Etcd, Redis, which tests start, and put them on PATH; " in said
    assert said.endswith("in the packages: etcd-server redis-server.\n")


def test_why_apt_get_failed_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apt_get(tmp_path, monkeypatch, "echo 'E: Unable to locate package etcd-server' >&2; exit 100")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    install.main()
    assert capsys.readouterr().err.startswith(
        "apt-get failed: E: Unable to locate package etcd-server Install Etcd, Redis, which tests start"
    )


def test_who_is_not_root_has_packages_unpacked_below_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download = f'case "$*" in *--download-only*) touch {missing}/.apt/cache/archives/one.deb;; esac'
    unpack = "case $1 in --extract) mkdir -p $3/usr/bin; touch $3/usr/bin/no-such-etcd $3/usr/bin/no-such-redis;; esac"
    apt_get(tmp_path, monkeypatch, f"{download}\n{unpack}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    install.main()
    assert capsys.readouterr().err == ""
    assert ETCD.program("no-such-etcd") == missing / "usr/bin/no-such-etcd"
    assert [path.name for path in missing.iterdir()] == ["usr"]
    monkeypatch.setattr("subprocess.run", pytest.fail)  # nothing is done twice
    install.main()


def test_an_unpacked_program_is_told_where_its_libraries_are(missing: Path) -> None:
    program = missing / "usr/bin/no-such-etcd"
    (missing / "usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    told = programs.environ(program)
    assert told["LD_LIBRARY_PATH"].split(":")[0] == str(missing / "usr/lib/x86_64-linux-gnu")
    assert "FONTCONFIG_SYSROOT" not in programs.environ(Path("/usr/bin/env"))


def test_packages_do_not_start_their_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(install, "_POLICY", policy)
    with install._no_server_starts():
        assert subprocess.run([policy], check=False).returncode == 101
    assert not policy.exists()
    policy.write_text("the owner's own")
    with install._no_server_starts():
        pass
    assert policy.read_text() == "the owner's own"
