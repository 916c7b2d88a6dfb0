"""The programs that tests start, and the Debian packages that have them. Standard library only: it runs at set-up."""

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Packages are unpacked here where they cannot be installed.
UNPACKED = Path(sys.prefix) / "debian"
UNPACKING = UNPACKED / ".apt"  # there until all of them are whole
# Where Debian's libraries lie, below the root of a file system.
_LIBRARIES = ("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/*-linux-gnu*/pulseaudio")


class NotInstalled(Exception):
    """A program that a test needs is not on this machine."""


@dataclass(frozen=True)
class Service:
    """A server or browser: its Debian packages, and its programs as globs below the root of a file system.

    `unit` is what starts it with the machine, if anything does.
    """

    name: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    unit: str = ""

    def program(self, name: str) -> Path:
        """The path of a program of it. Raises NotInstalled."""
        [glob] = [glob for glob in self.programs if glob.endswith(f"/{name}")]
        # Where unpacking was interrupted, programs are there without their libraries.
        roots = [Path("/")] if UNPACKING.exists() else [Path("/"), UNPACKED]
        for root in roots:
            for found in sorted(root.glob(glob), reverse=True):
                return found
        if on_path := shutil.which(name):
            return Path(on_path)
        raise NotInstalled(f"{self.name} is not installed. {what_to_install((self,))}")

    def is_there(self) -> bool:
        """Whether all its programs are on this machine."""
        try:
            return all(self.program(glob.rpartition("/")[2]) for glob in self.programs)
        except NotInstalled:
            return False


REDIS = Service("Redis", ("redis-server",), ("usr/bin/redis-server",), "redis-server")
POSTGRESQL = Service(
    "PostgreSQL",
    ("postgresql",),
    ("usr/lib/postgresql/*/bin/initdb", "usr/lib/postgresql/*/bin/postgres"),
    "postgresql",
)
CHROMIUM = Service("Chromium", ("chromium", "libatomic1"), ("usr/lib/chromium/chromium",))  # the library: Playwright's
NGINX = Service("nginx", ("nginx-light",), ("usr/sbin/nginx",), "nginx")
PROMETHEUS = Service("Prometheus", ("prometheus",), ("usr/bin/prometheus", "usr/bin/promtool"), "prometheus")
SERVICES = (REDIS, POSTGRESQL, CHROMIUM, NGINX, PROMETHEUS)


def packages_of(services: Iterable[Service]) -> list[str]:
    """All their packages."""
    return [package for service in services for package in service.packages]


def what_to_install(missing: tuple[Service, ...]) -> str:
    """The sentence for a person whose machine has no `apt-get`, or whose `apt-get` failed."""
    names = ", ".join(service.name for service in missing)
    packages = " ".join(packages_of(missing))
    return f"Install {names}, which tests start, and put them on PATH; Debian has them in the packages: {packages}."


def environ(program: Path) -> dict[str, str]:
    """The variables that a program is started with: an unpacked one is told where its libraries and fonts are."""
    own = dict(os.environ)
    if program.is_relative_to(UNPACKED):
        folders = [str(folder) for glob in _LIBRARIES for folder in sorted(UNPACKED.glob(glob))]
        own["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, [*folders, own.get("LD_LIBRARY_PATH", "")]))
        own["FONTCONFIG_SYSROOT"] = str(UNPACKED)
    return own
