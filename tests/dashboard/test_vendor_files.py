"""htmx and uPlot: fetched from a registry, checked by the lock, put in place once."""

import base64
import functools
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.dashboard import vendor_files
from tidegate.dashboard.vendor_files import VendorFiles

# Of the files that were looked at. A new version is looked at before these change.
SHA256 = {
    "htmx.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "uplot.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
ROOT = Path(__file__).parents[2]


def test_the_files_in_place_are_the_pinned_ones() -> None:
    assert vendor_files.LIBRARIES.missing() == []
    found = {name: hashlib.sha256((vendor_files.VENDOR / name).read_bytes()).hexdigest() for name in SHA256}
    assert found == SHA256


def test_package_and_lock_name_the_same_versions() -> None:
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    tools = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in tools} == tools
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert wanted.keys() == vendor_files.FILES.keys()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry of two packages, with a lock beside them in `tmp_path`."""
    served, entries = tmp_path / "served", {}
    for package, files in vendor_files.FILES.items():
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w:gz") as archive:
            for inside in files:
                member = tarfile.TarInfo(f"package/{inside}")
                member.size = len(inside)
                archive.addfile(member, io.BytesIO(inside.encode()))
        at = served / package / "-" / f"{package}-1.0.0.tgz"
        at.parent.mkdir(parents=True)
        at.write_bytes(held.getvalue())
        digest = base64.b64encode(hashlib.sha512(held.getvalue()).digest()).decode()
        entries[f"node_modules/{package}"] = {"version": "1.0.0", "integrity": f"sha512-{digest}"}
    (tmp_path / "lock.json").write_text(json.dumps({"packages": entries}))
    handler = functools.partial(_Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def vendor(tmp_path: Path) -> VendorFiles:
    return VendorFiles(tmp_path / "vendor", vendor_files.FILES)


def test_what_is_missing_is_fetched_once(registry: str, vendor: VendorFiles, tmp_path: Path) -> None:
    assert vendor.fetch(tmp_path / "lock.json", registry)
    assert (vendor.folder / "htmx.min.js").read_text() == "dist/htmx.min.js"
    assert not vendor.fetch(tmp_path / "lock.json", "http://127.0.0.1:9/")
    (vendor.folder / "uplot.min.css").unlink()
    assert vendor.fetch(tmp_path / "lock.json", registry)


def test_a_package_that_is_another_is_refused(registry: str, vendor: VendorFiles, tmp_path: Path) -> None:
    lock = (tmp_path / "lock.json").read_text()
    (tmp_path / "lock.json").write_text(lock.replace("sha512-", "sha512-A"))
    with pytest.raises(ValueError, match="is not the one of package-lock"):
        vendor.fetch(tmp_path / "lock.json", registry)
    assert not list(vendor.folder.glob("*.js"))


@pytest.mark.usefixtures("registry")
def test_a_registry_that_is_away_is_a_warning(
    vendor: VendorFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    assert vendor_files.main(tmp_path / "lock.json", vendor) == 0
    assert "The dashboard works without htmx and uPlot" in capsys.readouterr().err


def test_the_registry_is_that_of_npm(tmp_path: Path) -> None:
    assert vendor_files.registry_of({}, tmp_path) == "https://registry.npmjs.org/"
    (tmp_path / ".npmrc").write_text("fund=false\nregistry=https://npm.example.org/mirror\n")
    assert vendor_files.registry_of({}, tmp_path) == "https://npm.example.org/mirror/"
    assert vendor_files.registry_of({"npm_config_registry": "http://other"}, tmp_path) == "http://other/"
