"""Where the platform is for those who call it: scheme, host and port, and the path below which a proxy offers it."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from tidegate.core.errors import ConfigurationError

_USUAL_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
# The first parts of Tidegate's own paths. With one of them as prefix, a path could be read in two ways.
OWN_PATHS = frozenset(
    (
        "api", "endpoints", "favicon.ico", "healthz", "login", "logout", "metrics", "mlflow", "model",
        "model-endpoint", "models", "platform", "readyz", "serving-endpoints", "static",
    )
)  # fmt: skip
_SHAPE = "server.public_url must be like https://example.org or https://example.org/tidegate"


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """The URL of the platform for its callers.

    `origin` is as browsers write it, such as `https://example.org:8443`; empty where no setting says it. `prefix` is
    the path below which a proxy offers the platform, such as `/ml/tidegate`; empty for the root.
    """

    origin: str = ""
    prefix: str = ""

    @property
    def secure(self) -> bool:
        """Whether callers come by https."""
        return self.origin.startswith("https:")

    def path(self, path: str = "/") -> str:
        """One of Tidegate's paths, which begins with a slash, as a caller asks for it."""
        return self.prefix + path

    def absolute(self, path: str = "") -> str:
        """The URL of one of Tidegate's paths. Empty: the platform's own, without a slash at its end."""
        return self.origin + self.prefix + path

    def for_host(self, host: str) -> "PublicUrl":
        """The URL for a caller who has named this host; the setting, where there is one, says better."""
        return self if self.origin else PublicUrl(f"http://{host}", self.prefix)


def parse(text: str) -> PublicUrl:
    """The setting `server.public_url`; empty for none. Raises ConfigurationError with what is wrong."""
    if not text:
        return PublicUrl()
    parts = _split(text)
    if parts.scheme not in _USUAL_PORTS:
        raise ConfigurationError(f"{_SHAPE}: it begins with http:// or https://.")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{_SHAPE}, without a user or a password.")
    if "?" in text or "#" in text:
        raise ConfigurationError(f"{_SHAPE}, without a query or a fragment.")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    if not _HOST.fullmatch(host):
        raise ConfigurationError(f"{_SHAPE}. Its host may have letters, digits, dots and hyphens.")
    prefix = parts.path.rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(f"{_SHAPE}. Its path may have letters, digits and -._~ between single slashes.")
    if prefix.split("/")[1:2] and prefix.split("/")[1] in OWN_PATHS:
        raise ConfigurationError(f"{_SHAPE}. Its path must not begin with {prefix}: Tidegate has paths there.")
    port = "" if parts.port in (None, _USUAL_PORTS[parts.scheme]) else f":{parts.port}"
    return PublicUrl(f"{parts.scheme}://{host}{port}", prefix)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        valid = parts.port != 0 and text.isprintable()
    except ValueError:  # urlsplit checks brackets, .port the number
        valid = False
    if not valid:
        raise ConfigurationError(f"{_SHAPE}; it is no URL.")
    return parts
