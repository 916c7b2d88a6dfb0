"""Runs uv and streams its output line by line. The binary comes from the PyPI package `uv`."""

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import uv as uv_package

from tidegate.adapters.environments.uv_failures import DISK_FULL, network_failed
from tidegate.adapters.requirements.named_variables import expanded, masked
from tidegate.ports import Log

_SIGN_OF_LIFE_SECONDS = 10.0
_KEPT_LINES = 400  # of a failure's output; the log has all

# uv and the package builds that it starts see these variables alone: a build runs the code of others.
_PASSED = {
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "CC", "CXX", "CFLAGS", "LDFLAGS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"),
    *("NETRC", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX", "UV_KEYRING_PROVIDER"),
    *("UV_INSECURE_HOST", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_OFFLINE", "UV_CONFIG_FILE", "UV_EXCLUDE_NEWER"),
    *("UV_PYTHON_INSTALL_MIRROR", "UV_PYTHON_DOWNLOADS_JSON_URL", "UV_CREDENTIALS_DIR", "UV_REQUEST_TIMEOUT"),
}
_PASSED_PREFIXES = ("LC_", "UV_INDEX_", "UV_HTTP_", "UV_CONCURRENT_")
_DEFAULT_INDEX = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")


class UvFailed(Exception):
    """uv ended with an error; `lines` are the last that it wrote."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class Uv:
    """uv with the variables `environment` and none else of the server's. Its processes end when a call is cancelled.

    `named` are the variables that requirements name. uv sees them too; their values are masked in its output.
    """

    def __init__(self, environment: Mapping[str, str], named: Mapping[str, str] | None = None) -> None:
        self._binary = uv_package.find_uv_bin()
        self._named = dict(named or {})
        self._environment = {**environment, **self._named}

    def seeing(
        self, variables: Mapping[str, str], *, default_index: bool = True, named: Mapping[str, str] | None = None
    ) -> "Uv":
        """This uv with these variables too.

        Without `default_index`, the index of the requirements file counts; otherwise uv prefers the environment's.
        """
        kept = self._environment.items()
        environment = {k: v for k, v in kept if default_index or k not in _DEFAULT_INDEX} | dict(variables)
        return Uv(environment, self._named | dict(named or {}))

    def masked(self, text: str) -> str:
        """The text without the values of the variables that requirements name."""
        return masked(text, self._named)

    async def run(self, args: Sequence[str], log: Log, inherited: Sequence[int] = ()) -> None:
        """Run `uv args`; its lines go to `log`. Raises UvFailed.

        `inherited` file descriptors stay open until the last of its processes has ended.
        """
        process = await asyncio.create_subprocess_exec(
            *(self._binary, *(expanded(arg, self._named) for arg in args), "--no-progress", "--color", "never"),
            cwd="/",  # where no project's configuration is found; the user's own still is
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a group, so that the builds that uv starts end with it
            pass_fds=tuple(inherited),
        )
        assert process.stderr is not None
        lines: deque[str] = deque(maxlen=_KEPT_LINES)
        try:
            async for written in _lines(process.stderr, log):
                line = self.masked(written)
                lines.append(line)
                log(line)
            await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            raise UvFailed(tuple(lines) or (f"uv ended with status {process.returncode}",))

    async def run_or_offline(self, args: Sequence[str], log: Log, inherited: Sequence[int] = ()) -> None:
        """`run`; after a failure of the network, once more from the cache. Raises UvFailed with the first failure."""
        try:
            await self.run(args, log, inherited)
        except UvFailed as failed:
            if not network_failed(failed.lines):
                raise
            log("The package index cannot be reached: trying with what is in the cache.")
            try:
                await self.run([*args, "--offline"], log, inherited)
            except UvFailed:
                raise failed from None

    async def run_from_cache(self, args: Sequence[str], log: Log, inherited: Sequence[int] = ()) -> None:
        """`run` from the cache alone; with the network where the cache does not suffice.

        Raises UvFailed.
        """
        complaint: list[str] = []

        def tell(line: str) -> None:
            if complaint or line.startswith("error"):
                complaint.append(line)
            else:
                log(line)

        try:
            await self.run([*args, "--offline"], tell, inherited)
        except UvFailed as failed:
            if DISK_FULL in str(failed):
                raise
            log("Fetching what is not in the cache")
            await self.run(args, log, inherited)


async def _lines(stream: asyncio.StreamReader, log: Log) -> AsyncIterator[str]:
    """The stream's lines without blank ones. During a silent download, `log` gets a line each 10 seconds."""
    started, rest = time.monotonic(), b""
    while True:
        try:
            async with asyncio.timeout(_SIGN_OF_LIFE_SECONDS):
                chunk = await stream.read(65536)
        except TimeoutError:
            log(f"… still at work after {time.monotonic() - started:.0f} s")
            continue
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole if chunk else [rest]:
            if line.strip():
                yield line.decode(errors="replace").rstrip()
        if not chunk:
            return


def variables_for_uv(environ: Mapping[str, str], cache: Path, index_url: str = "") -> dict[str, str]:
    """The variables of the server's `environ` that uv may see, and those for its cache and a package index."""
    passed = {k: v for k, v in environ.items() if k in _PASSED or k.startswith(_PASSED_PREFIXES)}
    index_url = expanded(index_url, environ)
    if index_url:
        passed = {k: v for k, v in passed.items() if k not in _DEFAULT_INDEX} | {"UV_DEFAULT_INDEX": index_url}
    # Many machines are set up for pip only; uv does not read pip's variables.
    for ours, pips in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("UV_INDEX", "PIP_EXTRA_INDEX_URL")):
        if pips in environ and not {ours, "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"} & passed.keys():
            passed[ours] = environ[pips]
    return passed | {"UV_CACHE_DIR": str(cache)}


def cache_for(own: Path, environ: Mapping[str, str]) -> Path:
    """uv's cache: the user's, which may hold the packages already, or `own`.

    The user's cache serves only where it shares the file system of the environments, as packages are hard-linked.
    """
    places = (environ.get("UV_CACHE_DIR"), _below(environ.get("XDG_CACHE_HOME")), _below(environ.get("HOME"), ".cache"))
    users = next((Path(place) for place in places if place), None)
    with suppress(OSError):
        if users is not None and users.stat().st_dev == own.parent.stat().st_dev and os.access(users, os.W_OK):
            return users
    return own


def _below(folder: str | None, *names: str) -> str | None:
    return str(Path(folder, *names, "uv")) if folder else None
