"""The static files of the web pages: read once, named by their content, and answered from memory.

A name with the content's hash never means two contents. So a browser may keep a file for good, and asks again only when
a page names another one.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FOLDER = Path(__file__).parent / "dashboard" / "static"
"""Where the platform's own files are. The libraries in its folder `vendor` may be missing."""
PREFIX = "/static/"
"""How the paths of all static files begin."""

# Content type, and whether compression makes such files smaller. Files of other suffixes are not served.
_TYPES = {
    ".css": (b"text/css; charset=utf-8", True),
    ".js": (b"text/javascript; charset=utf-8", True),
    ".svg": (b"image/svg+xml", True),
    ".png": (b"image/png", False),
    ".ico": (b"image/x-icon", False),
    ".woff2": (b"font/woff2", False),
}
_HASH_DIGITS = 8

Headers = list[tuple[bytes, bytes]]


class UnknownAsset(KeyError):
    """A page names a static file that is not there."""

    def __str__(self) -> str:
        return f"There is no static file '{self.args[0]}'. The files of 'vendor' come with `make setup`."


@dataclass(frozen=True, slots=True)
class AssetAnswer:
    """What is answered to a request for a static file: a status, headers and the body, also for HEAD."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class _Asset:
    """One file. `compressed` is None where that would be no smaller."""

    content_type: bytes
    digest: bytes
    plain: bytes
    compressed: bytes | None

    def answer(self, accept_encoding: bytes, if_none_match: bytes) -> AssetAnswer:
        zipped = self.compressed is not None and _accepts_gzip(accept_encoding)
        # The two forms of a file are different bytes, so they have different tags (RFC 9110, 8.8.3).
        tag = b'"%b-gzip"' % self.digest if zipped else b'"%b"' % self.digest
        headers: Headers = [
            (b"cache-control", b"public, max-age=31536000, immutable"),
            (b"etag", tag),
            (b"vary", b"accept-encoding"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if _names(if_none_match, tag):
            return AssetAnswer(304, headers, b"")
        headers.append((b"content-type", self.content_type))
        if zipped:
            headers.append((b"content-encoding", b"gzip"))
        return AssetAnswer(200, headers, self.compressed if zipped and self.compressed is not None else self.plain)


class WebAssets:
    """The static files of a folder. The pages ask for URLs, the gateway for answers."""

    def __init__(self, urls: dict[str, str], assets: dict[str, _Asset]) -> None:
        """`urls` are by the name of the file in the folder, `assets` by the path of the URL."""
        self._urls, self._assets = urls, assets

    @classmethod
    def load(cls, folder: Path = FOLDER) -> "WebAssets":
        """Read all files of the folder and of those in it. Without the folder there are none. Raises OSError."""
        urls, assets = {}, {}
        for path in sorted(folder.rglob("*")):
            if path.suffix in _TYPES and path.is_file():
                name, asset = path.relative_to(folder).as_posix(), _read(path)
                urls[name] = PREFIX + _hashed(name, asset.digest.decode())
                assets[urls[name]] = asset
        return cls(urls, assets)

    def has(self, name: str) -> bool:
        """Whether the folder has this file, such as `vendor/htmx.min.js`."""
        return name in self._urls

    def url(self, name: str) -> str:
        """The path of a file on the server: `/static/app.3f2a91c0.css` for `app.css`. Raises UnknownAsset."""
        try:
            return self._urls[name]
        except KeyError:
            raise UnknownAsset(name) from None

    def answer(
        self, path: str, accept_encoding: bytes | None = None, if_none_match: bytes | None = None
    ) -> AssetAnswer | None:
        """The answer to GET or HEAD of a path, by the values of two of the request's headers. None: no such file."""
        asset = self._assets.get(path)
        return None if asset is None else asset.answer(accept_encoding or b"", if_none_match or b"")


def lean(text: str) -> str:
    """A style sheet or script without the lines that are comments, and without indentation: a tenth fewer bytes.

    No text of ours goes over several lines, and none has a line that begins like a comment.
    """
    kept, within = [], False
    for line in map(str.strip, text.splitlines()):
        comment = within or line.startswith("/*")
        if not comment and line:
            kept.append(line)
        within = comment and "*/" not in line
    return "\n".join(kept)


def _read(path: Path) -> _Asset:
    content = path.read_bytes()
    if path.suffix in (".css", ".js") and ".min." not in path.name:
        content = lean(content.decode()).encode()
    content_type, shrinks = _TYPES[path.suffix]
    compressed = gzip.compress(content, mtime=0) if shrinks else content
    digest = hashlib.sha256(content).hexdigest()[:_HASH_DIGITS].encode()
    return _Asset(content_type, digest, content, compressed if len(compressed) < len(content) else None)


def _hashed(name: str, digest: str) -> str:
    path = PurePosixPath(name)
    return path.with_name(f"{path.stem}.{digest}{path.suffix}").as_posix()


def _accepts_gzip(accept_encoding: bytes) -> bool:
    """Whether an Accept-Encoding header allows gzip (RFC 9110, 12.5.3). What it names counts before its `*`."""
    weights = dict(_coding(part) for part in accept_encoding.lower().split(b","))
    return weights.get(b"gzip", weights.get(b"*", 0.0)) > 0.0


def _coding(part: bytes) -> tuple[bytes, float]:
    coding, _, parameter = part.partition(b";")
    name, _, weight = parameter.strip().partition(b"=")
    try:
        return coding.strip(), float(weight) if name.strip() == b"q" else 1.0
    except ValueError:  # no number
        return coding.strip(), 0.0


def _names(if_none_match: bytes, tag: bytes) -> bool:
    """Whether an If-None-Match header has this tag. A proxy that compresses has made it a weak one (`W/`)."""
    given = [entry.strip().removeprefix(b"W/") for entry in if_none_match.split(b",")]
    return b"*" in given or tag in given
