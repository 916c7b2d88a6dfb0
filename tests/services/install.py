"""`python -m tests.services.install`: installs the programs of `programs` that are missing, and no others.

Root gets Debian's packages, and none of their servers is started, now or with the machine. Anybody else gets the same
packages unpacked below `.venv`. Where neither works, a sentence says what to install; tests that start such a program
fail with the same sentence.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.services.programs import SERVICES, UNPACKED, UNPACKING, Service, packages_of, what_to_install

# Debian's way to keep packages from starting their servers: /usr/sbin/policy-rc.d exits with 101.
_POLICY, _OURS = Path("/usr/sbin/policy-rc.d"), "#!/bin/sh\n# by tests/services/install.py\nexit 101\n"
# Of what is unpacked, a third, and nothing that a server or the browser needs.
_SUPERFLUOUS = ("doc", "javascript", "locale", "man")
_INSTALL = ("install", "--yes", "--no-install-recommends")


def main() -> None:
    """Install what is missing."""
    missing = _missing()
    if not missing:
        return
    print(
        f"Installing {', '.join(service.name for service in missing)} for the tests; that takes a minute.", flush=True
    )
    why = ""
    if shutil.which("apt-get") is None:
        why = "This machine has no apt-get."
    elif _why_not(missing):
        # One package that cannot be had must not keep back the others.
        why = " ".join(filter(None, [_why_not((service,)) for service in missing]))
    if still := _missing():
        print(f"{why} {what_to_install(still)}".strip(), file=sys.stderr)


def _missing() -> tuple[Service, ...]:
    return tuple(service for service in SERVICES if not service.is_there())


def _why_not(services: Sequence[Service]) -> str:
    """Install these. Empty, or a sentence on what went wrong."""
    try:
        _as_root(services) if os.geteuid() == 0 else _as_user(services)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines() or [str(error)]
        return f"{Path(error.cmd[0]).name} failed: {lines[-1].rstrip('.')}."
    except OSError as error:
        return f"The packages could not be installed: {error}."
    return ""


def _as_root(services: Sequence[Service]) -> None:
    packages = packages_of(services)
    with _no_server_starts():
        try:
            _apt_get(*_INSTALL, *packages)
        except subprocess.CalledProcessError:  # no lists of packages yet, or old ones
            _update()
            _apt_get(*_INSTALL, *packages)
    for unit in [service.unit for service in services if service.unit]:
        for command in (["systemctl", "disable", unit], ["update-rc.d", unit, "disable"]):
            if shutil.which(command[0]):
                subprocess.run(command, check=False, capture_output=True)


@contextlib.contextmanager
def _no_server_starts() -> Iterator[None]:
    """Packages do not start their servers, as they would otherwise."""
    if _POLICY.exists() and _POLICY.read_text() != _OURS:  # the machine's owner has decided already
        yield
        return
    try:
        _POLICY.write_text(_OURS)
        _POLICY.chmod(0o755)
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def _as_user(services: Sequence[Service]) -> None:
    """Unpack the packages, and those that they need and the machine lacks, with apt's state in a folder of our own."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (UNPACKING / folder).mkdir(parents=True, exist_ok=True)
    options = (
        *("-o", f"Dir::State={UNPACKING}/state", "-o", "Dir::State::status=/var/lib/dpkg/status"),
        *("-o", f"Dir::Cache={UNPACKING}/cache", "-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User="),
    )
    try:
        _update(*options)
        _apt_get(*options, *_INSTALL, "--download-only", *packages_of(services))
    except BaseException:
        shutil.rmtree(UNPACKING)  # nothing was unpacked: what was there before is whole
        raise
    for archive in sorted((UNPACKING / "cache" / "archives").glob("*.deb")):
        _run("dpkg-deb", "--extract", str(archive), str(UNPACKED))
    for name in _SUPERFLUOUS:
        shutil.rmtree(UNPACKED / "usr" / "share" / name, ignore_errors=True)
    shutil.rmtree(UNPACKING)


def _update(*options: str) -> None:
    """Fetch the lists of packages. A source of somebody else that is away does not matter."""
    with contextlib.suppress(subprocess.CalledProcessError):
        _apt_get(*options, "update")


def _apt_get(*arguments: str) -> None:
    _run("apt-get", "--quiet", *arguments)


def _run(*words: str) -> None:
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    subprocess.run(words, check=True, capture_output=True, text=True, env=environ, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
