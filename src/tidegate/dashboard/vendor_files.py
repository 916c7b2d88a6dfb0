"""The dashboard's two libraries, htmx and uPlot: fetched from an npm registry at set-up, and never committed.

`python -m tidegate.dashboard.vendor_files package-lock.json` puts their files below `static/vendor`. The lock pins
version and integrity, as npm wrote them. Nothing is fetched where the files of these versions are there already.
"""

import base64
import hashlib
import io
import json
import os
import re
import sys
import tarfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.atomic_write import write_atomically

VENDOR = Path(__file__).parent / "static" / "vendor"

FILES: Mapping[str, Mapping[str, str]] = {
    "htmx.org": {"dist/htmx.min.js": "htmx.min.js", "LICENSE": "htmx.LICENSE"},
    "uplot": {
        "dist/uPlot.iife.min.js": "uplot.min.js",
        "dist/uPlot.min.css": "uplot.min.css",
        "LICENSE": "uplot.LICENSE",
    },
}
"""Package → the files of it that are used → their names below `static/vendor`."""

_STAMP = "versions.json"
_PUBLIC = "https://registry.npmjs.org/"
_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class VendorFiles:
    """Files of npm packages, and the folder that they are put in."""

    folder: Path
    files: Mapping[str, Mapping[str, str]]

    def missing(self) -> list[str]:
        """The names of the files that are not in place."""
        return [name for names in self.files.values() for name in names.values() if not (self.folder / name).is_file()]

    def fetch(self, lock: Path, registry: str) -> bool:
        """Put the files in place; returns whether anything was fetched.

        Raises ValueError where a package is not the one that the lock names, and OSError where it cannot be fetched.
        """
        packages = json.loads(lock.read_text())["packages"]
        pinned = {name: packages[f"node_modules/{name}"] for name in self.files}
        stamp = json.dumps({name: entry["integrity"] for name, entry in pinned.items()}, indent=1)
        at = self.folder / _STAMP
        if not self.missing() and at.is_file() and at.read_text() == stamp:
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, entry in pinned.items():
            tarball = _download(f"{registry}{name}/-/{name.rsplit('/')[-1]}-{entry['version']}.tgz")
            self._unpack(_checked(name, tarball, entry["integrity"]), self.files[name])
        write_atomically(at, stamp, mode=0o644)
        return True

    def _unpack(self, tarball: bytes, files: Mapping[str, str]) -> None:
        with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
            for inside, name in files.items():
                member = archive.extractfile(f"package/{inside}")
                if member is None:
                    raise ValueError(f"The package has no file {inside}.")
                write_atomically(self.folder / name, member.read(), mode=0o644)


LIBRARIES = VendorFiles(VENDOR, FILES)
"""What the pages use. They work without these files, with fewer comforts."""


def registry_of(environment: Mapping[str, str], home: Path) -> str:
    """The npm registry of this machine, as npm would choose it: its variable, the user's .npmrc, the public one."""
    chosen = environment.get("npm_config_registry") or environment.get("NPM_CONFIG_REGISTRY") or ""
    rc = home / ".npmrc"
    if not chosen and rc.is_file():
        named = re.search(r"^\s*registry\s*=\s*(\S+)\s*$", rc.read_text(), re.MULTILINE)
        chosen = named[1] if named else ""
    return (chosen or _PUBLIC).rstrip("/") + "/"


def _download(url: str) -> bytes:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
                return bytes(answer.read())
        except OSError:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _checked(name: str, tarball: bytes, integrity: str) -> bytes:
    algorithm, _, wanted = integrity.partition("-")
    found = base64.b64encode(hashlib.new(algorithm, tarball).digest()).decode()
    if algorithm != "sha512" or found != wanted:
        raise ValueError(f"{name}: the registry's package is not the one of package-lock.json ({algorithm} {found}).")
    return tarball


def main(lock: Path, wanted: VendorFiles = LIBRARIES) -> int:
    """Fetch what is missing, and say what was done. Without a registry, warn: the dashboard works without the files."""
    registry = registry_of(os.environ, Path.home())
    try:
        if wanted.fetch(lock, registry):
            print(f"{', '.join(wanted.files)} are in {wanted.folder}.")
    except (OSError, ValueError, KeyError) as error:
        print(
            f"{', '.join(wanted.files)} could not be fetched from {registry}: {error}. The dashboard works without "
            "htmx and uPlot, but its charts do not zoom. Run `make setup` again when the registry can be reached.",
            file=sys.stderr,
        )
        return 0 if isinstance(error, OSError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
