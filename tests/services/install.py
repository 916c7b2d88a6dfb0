"""Installs the programs of `programs` that are missing: `python -m tests.services.install`. Nothing is done twice.

Root gets Debian's packages, and none of the servers in them is started. Anybody else gets the same packages unpacked
below `.venv`. Where neither works, a sentence says what to install; the tests that need it fail with that sentence.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.services.programs import SERVICES, UNPACKED, Service, packages_of, what_to_install

# Debian's way to keep packages from starting their servers: /usr/sbin/policy-rc.d exits with 101.
_POLICY = Path("/usr/sbin/policy-rc.d")
# Of what is unpacked, a third, and nothing that a server or the browser needs.
_SUPERFLUOUS = ("doc", "javascript", "locale", "man")
_INSTALL = ("install", "--yes", "--no-install-recommends")


def main() -> None:
    """Install what is missing."""
    missing = tuple(service for service in SERVICES if not service.is_there())
    if not missing:
        return
    names = ", ".join(service.name for service in missing)
    try:
        if shutil.which("apt-get") is None:
            raise FileNotFoundError("there is no apt-get")
        print(f"Installing {names} for the tests; that takes a minute.", flush=True)
        (_as_root if os.geteuid() == 0 else _as_user)(packages_of(missing))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{_why(error)} {what_to_install(missing)}", file=sys.stderr)
        return
    _report(tuple(service for service in missing if not service.is_there()))


def _report(missing: tuple[Service, ...]) -> None:
    if missing:
        print(what_to_install(missing), file=sys.stderr)


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = (error.stderr or "").strip().splitlines() or [str(error)]
        return f"apt-get failed: {lines[-1]}"
    return f"They could not be installed: {error}."


def _as_root(packages: Sequence[str]) -> None:
    with _no_server_starts():
        try:
            _apt_get(*_INSTALL, *packages)
        except subprocess.CalledProcessError:  # no lists of packages yet, or old ones
            _apt_get("update")
            _apt_get(*_INSTALL, *packages)


@contextlib.contextmanager
def _no_server_starts() -> Iterator[None]:
    """Packages do not start their servers, as they would otherwise."""
    if _POLICY.exists():  # the machine's owner has decided already
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _as_user(packages: Sequence[str]) -> None:
    """Unpack the packages, and those that they need and the machine lacks, with apt's state in a folder of our own."""
    apt = UNPACKED / ".apt"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    options = (
        *("-o", f"Dir::State={apt}/state", "-o", "Dir::State::status=/var/lib/dpkg/status"),
        *("-o", f"Dir::Cache={apt}/cache", "-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User="),
    )
    _apt_get(*options, "update")
    _apt_get(*options, *_INSTALL, "--download-only", *packages)
    for archive in sorted((apt / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", archive, UNPACKED], check=True, capture_output=True, text=True)
    shutil.rmtree(apt)
    for name in _SUPERFLUOUS:
        shutil.rmtree(UNPACKED / "usr" / "share" / name, ignore_errors=True)


def _apt_get(*arguments: str) -> None:
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    subprocess.run(["apt-get", "--quiet", *arguments], check=True, capture_output=True, text=True, env=environ)


if __name__ == "__main__":
    main()
