"""What `tidegate doctor` looks at: this machine first, then the server."""

import asyncio
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.version import Version

from tidegate.adapters.environments.interpreters import OLDEST, Interpreters
from tidegate.adapters.environments.uv import Uv
from tidegate.cli.client import Client
from tidegate.cli.failure import Failure, Refused, Unreachable
from tidegate.cli.find_server import Server, recorded_url
from tidegate.core.errors import ConfigurationError
from tidegate.dashboard import vendor_files
from tidegate.data_directory import DataDirectory
from tidegate.processes import listeners
from tidegate.settings import Settings

_ENOUGH_BYTES = 5e9  # an environment takes 0.3 to 1 GB, the packages' cache as much again


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `advice` says what to do about it; empty when it is fine."""

    subject: str
    found: str
    advice: str = ""

    @property
    def fine(self) -> bool:
        return not self.advice


def machine(settings: Settings, data: DataDirectory) -> Iterator[Check]:
    """The checks of this machine."""
    yield Check("Python", f"{platform.python_version()}, {platform.machine()}")
    yield _uv()
    yield _interpreters(settings, data)
    place = _nearest(data.root)
    yield _writable(data.root, place)
    yield _space(place)
    yield _libraries()


def server(client: Client, settings: Settings) -> Iterator[Check]:
    """The checks of the server; where nobody answers, of the port that it would listen on."""
    url = client.server.url
    try:
        client.call("GET", "/healthz")
    except Failure as failure:
        yield Check("server", url, failure.message)
        if isinstance(failure, Unreachable) and client.server.local:
            yield _port(settings, client.server.data_dir)
        return
    yield Check("server", f"answers at {url}")
    yield _asked("ready", "accepts requests", lambda: client.call("GET", "/readyz"))
    token = _asked("token", "is accepted", client.endpoints)
    yield token
    if token.fine:
        yield _registry(client)


def _uv() -> Check:
    import uv

    try:
        return Check("uv", uv.find_uv_bin())
    except FileNotFoundError:
        return Check("uv", "not found", "Install it where Tidegate is installed: pip install uv.")


def _interpreters(settings: Settings, data: DataDirectory) -> Check:
    search = settings.environments.python_search
    try:
        found = asyncio.run(Interpreters(Uv({}), data.pythons, search, os.environ).found())
    except FileNotFoundError:
        return Check("interpreters", "not looked for", "Tidegate looks for them with uv. Install uv first.")
    usable = dict.fromkeys(each.version for each in found if Version(each.version) >= OLDEST)
    return Check("interpreters", ", ".join(usable))


def _nearest(path: Path) -> Path:
    """The path itself, or the directory above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


def _writable(root: Path, place: Path) -> Check:
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Check("data directory", f"{root}{'' if place == root else ' (created at the first start)'}")
    return Check("data directory", str(root), f"{place} cannot be written to by this user. Choose another --data-dir.")


def _space(place: Path) -> Check:
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB free"
    if free >= _ENOUGH_BYTES:
        return Check("disk", found)
    return Check(
        "disk", found, "Free some space: an environment takes up to 1 GB, and the package cache as much again."
    )


def _libraries() -> Check:
    missing = vendor_files.LIBRARIES.missing()
    if not missing:
        return Check("dashboard", "htmx and uPlot are in place")
    return Check(
        "dashboard",
        f"without {', '.join(missing)}",
        "The pages work, but charts do not zoom, and searches need a button. Run `make setup` where the npm registry "
        "can be reached, or install the wheel.",
    )


def _port(settings: Settings, data_dir: Path) -> Check:
    host, port = settings.server.host, settings.server.port
    if (own := recorded_url(DataDirectory(data_dir))) and urlsplit(own).port == port and _answers(own):
        return Check("port", f"{host}:{port} belongs to this data directory's own Tidegate, at {own}")
    try:
        for listener in listeners.listen(host, port, 1):
            listener.close()
    except ConfigurationError as error:
        return Check("port", f"{host}:{port}", error.message)
    return Check("port", f"{host}:{port} is free")


def _answers(url: str) -> bool:
    """Whether a Tidegate server answers at the URL."""
    try:
        with Client(Server(url, Path(), token="")) as client:
            client.call("GET", "/healthz")
    except Failure:
        return False
    return True


def _registry(client: Client) -> Check:
    try:
        client.registered_models()
    except Refused as refused:
        if refused.code == "RESOURCE_DOES_NOT_EXIST":
            return Check("registry", "external, by the server's settings")
        return Check("registry", "does not answer", refused.message)
    except Failure as failure:
        return Check("registry", "does not answer", failure.message)
    return Check("registry", f"answers at {client.server.url}/mlflow")


def _asked(subject: str, found: str, ask: Callable[[], object]) -> Check:
    try:
        ask()
    except Failure as failure:
        return Check(subject, "no", failure.message)
    return Check(subject, found)
