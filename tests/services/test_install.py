"""What is missing is installed, or a sentence says what to do."""

import subprocess
from pathlib import Path

import pytest

from tests.services import install, programs
from tests.services.programs import NotInstalled, Service

ETCD = Service("Etcd", ("etcd-server",), ("usr/bin/no-such-etcd",))
REDIS = Service("Redis", ("redis-server",), ("usr/bin/no-such-redis",), "redis-server")


@pytest.fixture(autouse=True)
def unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two servers are missing; the folder below which packages are unpacked."""
    for module in (install, programs):
        monkeypatch.setattr(module, "UNPACKED", tmp_path / "debian")
        monkeypatch.setattr(module, "UNPACKING", tmp_path / "debian" / ".apt")
    monkeypatch.setattr(install, "SERVICES", (ETCD, REDIS))
    monkeypatch.setattr(install, "_POLICY", tmp_path / "policy-rc.d")
    return tmp_path / "debian"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for the programs of a machine that has no other of these."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("apt-get", "dpkg-deb", "systemctl", "update-rc.d"):
        have(folder, name, "")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def have(folder: Path, name: str, script: str) -> None:
    """Have a program that does so, and notes how it was called."""
    file = folder / name
    file.write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/calls\n{script}\n')
    file.chmod(0o755)


def be(monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)


def test_without_apt_get_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    install.main()
    said = capsys.readouterr().err
    assert said.startswith(
        "This machine has no apt-get. Install Etcd, Redis, which tests start, and put them on PATH; "
    )
    assert said.endswith("in the packages: etcd-server redis-server.\n")
    with pytest.raises(
        NotInstalled, match=r"^Etcd is not installed\. Install Etcd, .* in the packages: etcd-server\.$"
    ):
        ETCD.program("no-such-etcd")


@pytest.mark.parametrize("user", [0, 1000])
def test_a_package_that_cannot_be_had_does_not_keep_back_the_others(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    unpacked: Path,
    machine: Path,
    capsys: pytest.CaptureFixture[str],
    user: int,
) -> None:
    archive = f"{unpacked}/.apt/cache/archives/one.deb"
    refuses = 'case "$*" in *etcd*) echo "E: Unable to locate package etcd-server" >&2; exit 100;; esac'
    program = unpacked / "usr" / "bin" / "no-such-redis"
    makes = f"mkdir -p {program.parent}; touch {program}"
    root = f'case "$*" in *install*) {makes};; esac'
    have(machine, "apt-get", f"{refuses}\n{root if user == 0 else f'touch {archive}'}")
    have(machine, "dpkg-deb", makes)
    be(monkeypatch, user)
    install.main()
    assert REDIS.is_there()
    said = capsys.readouterr().err
    assert said.startswith("apt-get failed: E: Unable to locate package etcd-server. Install Etcd, which tests start")


def test_root_fetches_lists_where_there_are_none_and_no_server_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: Path
) -> None:
    monkeypatch.setattr(install, "SERVICES", (REDIS,))
    lists, policy = tmp_path / "lists", tmp_path / "policy-rc.d"
    have(machine, "apt-get", f'case "$*" in *update*) touch {lists};; *) test -x {policy} && test -e {lists};; esac')
    be(monkeypatch, 0)
    install.main()
    assert (machine / "calls").read_text().splitlines() == [
        "apt-get --quiet install --yes --no-install-recommends redis-server",
        "apt-get --quiet update",
        "apt-get --quiet install --yes --no-install-recommends redis-server",
        "systemctl disable redis-server",
        "update-rc.d redis-server disable",
    ]
    assert not policy.exists()


def test_who_is_not_root_has_packages_unpacked_below_the_environment(
    monkeypatch: pytest.MonkeyPatch, unpacked: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    have(machine, "apt-get", f'case "$*" in *--download-only*) touch {unpacked}/.apt/cache/archives/one.deb;; esac')
    have(machine, "dpkg-deb", "mkdir -p $3/usr/bin; touch $3/usr/bin/no-such-etcd $3/usr/bin/no-such-redis")
    be(monkeypatch, 1000)
    install.main()
    assert capsys.readouterr().err == ""
    assert ETCD.program("no-such-etcd") == unpacked / "usr/bin/no-such-etcd"
    assert [path.name for path in unpacked.iterdir()] == ["usr"]
    (machine / "calls").unlink()
    install.main()
    assert not (machine / "calls").exists()
    (unpacked / ".apt").mkdir()  # as where it was interrupted: libraries may be missing
    assert not ETCD.is_there()


def test_an_unpacked_program_is_told_where_its_libraries_are(unpacked: Path) -> None:
    program = unpacked / "usr/bin/no-such-etcd"
    (unpacked / "usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    told = programs.environ(program)
    assert told["LD_LIBRARY_PATH"].split(":")[0] == str(unpacked / "usr/lib/x86_64-linux-gnu")
    assert "FONTCONFIG_SYSROOT" not in programs.environ(Path("/usr/bin/env"))


@pytest.mark.parametrize("left_over", [False, True])
def test_packages_do_not_start_their_servers(tmp_path: Path, left_over: bool) -> None:
    policy = tmp_path / "policy-rc.d"
    if left_over:  # by a run that was killed
        policy.write_text(install._OURS)
    with install._no_server_starts():
        assert subprocess.run([policy], check=False).returncode == 101
    assert not policy.exists()
    policy.write_text("the owner's own")
    with install._no_server_starts():
        pass
    assert policy.read_text() == "the owner's own"
