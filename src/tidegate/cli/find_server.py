"""Where the server is, and with which token to call it: from options, the environment or the data directory."""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from tidegate.cli.failure import Failure
from tidegate.data_directory import DataDirectory
from tidegate.settings import ServerSettings

_DEFAULT = ServerSettings()
DEFAULT_URL = f"http://{_DEFAULT.host}:{_DEFAULT.port}"


@dataclass(frozen=True, slots=True)
class Server:
    """A Tidegate server. `token` is empty when none was found; `token_in_shell` is a shell's word that expands to it.

    `data_dir` is the data directory of this machine, whether that server's or not. `public_url` is what others call
    the server: what it has recorded, or else its URL.
    """

    url: str
    data_dir: Path
    token: str
    token_in_shell: str = "$TIDEGATE_TOKEN"  # noqa: S105 - a variable's name
    recorded_public_url: str = ""

    @property
    def public_url(self) -> str:
        """Where callers reach it."""
        return self.recorded_public_url or self.url

    @property
    def local(self) -> bool:
        """Whether it is reached over this machine's loopback, where no proxy belongs."""
        return is_loopback(self.url)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the command line names; empty where it does not."""

    url: str = ""
    token: str = ""
    data_dir: Path | None = None
    token_file: Path | None = None  # that the token is from


def find(options: ServerOptions, environ: Mapping[str, str]) -> Server:
    """The server that the options, the environment or the data directory name. Raises Failure for what is not a URL.

    A token goes only to the server that it was given for. DATABRICKS_TOKEN goes to DATABRICKS_HOST only, if that is
    set. The data directory's token goes to this machine only, unless --data-dir is given.
    """
    data = DataDirectory(data_directory(options, environ))
    databricks = _clean(environ.get("DATABRICKS_HOST", ""))
    here = recorded_url(data)
    asked = _clean(options.url) or (here if options.data_dir else "") or _clean(environ.get("TIDEGATE_URL", ""))
    url = asked or databricks or here or DEFAULT_URL
    server = Server(url, data.root, token="", recorded_public_url=_recorded(data, "public_url") if url == here else "")
    own = replace(
        server,
        token=_read(data.admin_token),
        token_in_shell=f"$(cat {shlex.quote(str(data.admin_token.absolute()))})",
    )
    if options.token:
        return replace(server, token=options.token, token_in_shell=_in_shell(options.token_file))
    if options.data_dir and own.token:
        return own
    if token := environ.get("TIDEGATE_TOKEN"):
        return replace(server, token=token)
    if (token := environ.get("DATABRICKS_TOKEN")) and databricks in ("", url):
        return replace(server, token=token, token_in_shell="$DATABRICKS_TOKEN")  # noqa: S106
    return own if url == here or is_loopback(url) else server


def _in_shell(token_file: Path | None) -> str:
    """A shell's word for the token. The token itself is never printed: it would stay in the terminal and in logs."""
    if token_file is None or str(token_file) == "-":
        return "$TIDEGATE_TOKEN"
    return f"$(cat {shlex.quote(str(token_file.expanduser().absolute()))})"


def token_in(file: Path) -> str:
    """The token in a file, or on standard input if the file is `-`. Raises Failure if there is none."""
    piped = str(file) == "-"
    source = "Standard input" if piped else f"The token's file {file}"
    try:
        token = (_standard_input() if piped else file.expanduser().read_text()).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{source} cannot be read: {error}.") from None
    if not token:
        raise Failure(f"{source} has no token.")
    return token


def _standard_input() -> str:
    return sys.stdin.read() if sys.stdin else ""  # None: it is closed


def data_directory(options: ServerOptions, environ: Mapping[str, str]) -> Path:
    """This machine's data directory: --data-dir, the server's own setting, or ./.tidegate."""
    directory = options.data_dir or Path(environ.get("TIDEGATE_SERVER__DATA_DIR") or _DEFAULT.data_dir)
    return directory.expanduser()


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _clean(url: str) -> str:
    """The URL with a scheme, http for loopback and https for the rest where it has none, and no slash at its end."""
    if not url:
        return ""
    if "://" not in url:
        url = f"http://{url}" if is_loopback(f"http://{url}") else f"https://{url}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # urlsplit checks brackets, .port the number
        valid = False
    if not valid:
        raise Failure(f"'{url}' is not the URL of a server. Write it like {DEFAULT_URL}.")
    return url.rstrip("/")


def recorded_url(data: DataDirectory) -> str:
    """The URL that a running server has written in its data directory; empty without one. Raises Failure."""
    return _recorded(data, "url")


def _recorded(data: DataDirectory, name: str) -> str:
    try:
        content = json.loads(_read(data.server_file) or "{}")
    except ValueError:
        return ""
    return _clean(str(content.get(name, ""))) if isinstance(content, dict) else ""


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Failure(f"{file} cannot be read: {reason}.") from None
