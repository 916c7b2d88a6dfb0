"""Which artifact locations MLflow may open on this machine.

A location is the `source` of a model version, or the `artifact_location` of an experiment, a run or a logged model.
Whoever may write to the registry chooses it. MLflow reads the files that it names, and sends the registry's credentials
to the host that it names. So the table in which MLflow looks up schemes is guarded: MLflow checks a location when it is
about to open it, whether a version names it or another location leads to it (`runs:`, `models:`).

URIs: https://mlflow.org/docs/latest/self-hosting/architecture/artifact-store/
"""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import url2pathname

# MLflow's server keeps artifacts below this path.
_SERVICE = "/api/2.0/mlflow-artifacts/artifacts"
# Locations that only name another one, which is checked in its turn.
_REFERENCES = {"runs", "models"}
_LOCAL = {"", "file"}
_DEFAULT_PORTS = {"http": 80, "https": 443}
# A client of such a store signs in at the host that the location names; only these domains are Azure's own.
_AZURE = re.compile(r"[^@]+@[a-z0-9-]+\.dfs\.core\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)")
_HTTP = {"http", "https", "mlflow-artifacts"}
# Some parsers drop these, and some end a host at those.
_CONTROL, _AMBIGUOUS = re.compile(r"[\x00-\x1f\x7f]"), re.compile(r"[\\\s]")


@dataclass(frozen=True, slots=True)
class ArtifactLocations:
    """The locations that may be opened: those of the registry at the URI `registry`, and those below `roots`.

    A root is an absolute path, a URI such as `s3://bucket/models`, or a scheme with its colon, such as `s3:`. An empty
    `registry` has no location of its own.
    """

    registry: str
    roots: tuple[str, ...] = ()

    def refusal(self, location: str) -> str | None:
        """Why the location may not be opened, as the end of a sentence that begins with it; None where it may be."""
        try:
            url = urlsplit(location)
            _port(url)
        except ValueError:
            return "which is no valid URI"
        if url.scheme in _REFERENCES:
            return "which names another registry or profile" if url.netloc else None
        if _CONTROL.search(location) or location != location.strip() or _AMBIGUOUS.search(url.netloc):
            return "which is written in a way that programs read differently"
        if url.scheme in _LOCAL:
            return self._local_refusal(location, url)
        if ".." in _unquoted(url.path).split("/"):
            return "which has '..' in its path"
        if url.scheme == "mlflow-artifacts" and not url.netloc:
            return None  # MLflow asks the registry's own host
        if any(_below(url, root) for root in self._remote_roots(url)):
            return None
        if url.scheme in _HTTP:
            return f"and '{url.hostname or ''}' is not the host where the registry keeps files"
        return "which is not a store that Tidegate may read"

    def may_read(self, path: Path) -> bool:
        """Whether a file of this machine may be read; `path` is absolute and without links."""
        return any(path.is_relative_to(root) for root in self._local_roots())

    def _local_refusal(self, location: str, url: SplitResult) -> str | None:
        if url.netloc not in ("", "localhost"):
            return f"and files of the host '{url.netloc}' cannot be read here"
        try:
            path = local_path(location)
        except (OSError, RuntimeError):  # links that lead in a circle
            return "which is no path"
        return None if self.may_read(path) else "which is not below a folder that Tidegate may read"

    def _local_roots(self) -> Iterator[Path]:
        for root in self.roots:
            if urlsplit(root).scheme in _LOCAL:
                yield local_path(root)
        if (own := _folder_of(self.registry)) not in (None, Path("/")):
            yield own

    def _remote_roots(self, url: SplitResult) -> Iterator[SplitResult]:
        own = urlsplit(self.registry)
        if own.scheme in _DEFAULT_PORTS:
            service = own.path.rstrip("/") + _SERVICE
            yield own._replace(path=service)
            # MLflow puts the registry's scheme and path before such a location.
            yield own._replace(scheme="mlflow-artifacts", path="")
        for root in map(urlsplit, self.roots):
            if root.scheme == url.scheme == "abfss" and not root.netloc and not _AZURE.fullmatch(url.netloc):
                continue
            yield root


def local_path(location: str) -> Path:
    """The file that MLflow opens for a path or a `file:` URI, with its links followed."""
    # As `mlflow.utils.file_utils.local_file_uri_to_path` does, which takes seconds to import.
    path = urlsplit(location).path if location.startswith("file:") else location
    return Path(url2pathname(path)).resolve()


def guard(locations: ArtifactLocations, refuse: Callable[[str, str], Exception]) -> None:
    """Have MLflow, in this process, open no other locations than these.

    `refuse` makes the exception that MLflow raises, of the location as it may be shown and why it is refused.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories

    def checked(repository: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(repository, updated=())
        def opened(artifact_uri: str, *arguments: Any, **named: Any) -> Any:
            if why := locations.refusal(artifact_uri):
                raise refuse(shown(artifact_uri), why)
            return repository(artifact_uri, *arguments, **named)

        return opened

    table = get_registered_artifact_repositories()
    table |= {scheme: checked(repository) for scheme, repository in table.items()}


def shown(uri: str) -> str:
    """The URI as it may be shown: without credentials, be it in its host's part or in its query."""
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}".partition("?")[0]


def _folder_of(registry: str) -> Path | None:
    """The folder of a registry that is a database of one file or a folder: its artifacts lie there."""
    url = urlsplit(registry)
    if url.scheme.startswith("sqlite") and url.path:
        return Path(url.path[1:]).parent.resolve()
    if url.scheme == "file" or (not url.scheme and "/" in registry):
        return local_path(registry)
    return None


def _below(url: SplitResult, root: SplitResult) -> bool:
    if url.scheme != root.scheme:
        return False
    if not root.netloc:
        return not root.path  # the scheme alone
    if url.scheme in _HTTP:
        if "@" in url.netloc or (url.hostname, _port(url)) != (root.hostname, _port(root)):
            return False
    elif url.netloc != root.netloc:
        return False
    folder = root.path.rstrip("/")
    return url.path == folder or url.path.startswith(f"{folder}/")


def _port(url: SplitResult) -> int | None:
    return url.port or _DEFAULT_PORTS.get(url.scheme)


def _unquoted(text: str) -> str:
    """The text without percent-encoding, however often it was encoded."""
    while (plain := unquote(text)) != text:
        text = plain
    return text


def not_to_copy(folder: Path, locations: ArtifactLocations) -> str | None:
    """What in a folder may not be copied, and why; None where all of it may be.

    A link that leads elsewhere would bring in a file of the server's, and a pipe or a device has no end.
    """
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_symlink() and path.is_dir():
            return f"'{name}' is a link to a folder"
        if path.is_symlink() and not locations.may_read(path.resolve()):
            return f"'{name}' is a link to a file elsewhere"
        if not path.is_dir() and not path.is_file():
            return f"'{name}' is neither a file nor a folder"
    return None
