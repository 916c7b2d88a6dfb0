"""Explains a failure of uv to the model's owner in one sentence. The build log keeps all that uv wrote."""

import re
from collections.abc import Sequence

DISK_FULL = "No space left on device"

_NETWORK = re.compile(
    r"client error \(Connect\)|dns error|error resolving DNS|Connection refused|Network is unreachable|"
    r"operation timed out|timed out|connection (?:reset|closed)|Failed to connect to|Could not resolve host|"
    r"server error \(5\d\d|client error \((?:407|429) |Connectivity is disabled",
    re.IGNORECASE,
)
# A URL without its credentials, or the variable that stands for it.
_URL = re.compile(r"(?:https?://(?:[^\s/@`']+@)?)?((?<=//)[^\s/`')]+|(?<=@)[^\s/`')]+|\$\{[A-Z0-9_]+\})")
_REFUSALS = (
    re.compile(r"An index URL \((?P<url>\S+)\) could not be queried due to .* credentials \((?P<status>[^)]*)\)"),
    re.compile(r"An index \((?P<url>\S+)\) returned a (?P<status>403 Forbidden) error"),
    re.compile(r"\((?P<status>401 Unauthorized|403 Forbidden)\) for url \((?P<url>\S+)\)"),
    re.compile(r"(?P<status>Authentication failed|could not read Username) for '(?P<url>[^']+)'"),
)
# A failure of the network → its description and advice. The first pattern that matches counts.
_NETWORK_FAILURES = (
    (
        re.compile(r"invalid peer certificate: ([^\n]*)"),
        r"has a certificate that is not trusted (\1)",
        "Name a file with its authority's certificate in SSL_CERT_FILE where Tidegate starts, or correct the URL.",
    ),
    (
        re.compile(r"InvalidContentType|received corrupt message"),
        "does not speak TLS",
        "Check whether the index URL must begin with http://.",
    ),
    (
        re.compile(r"received fatal alert: (\w+)"),
        r"refuses the TLS connection (\1)",
        "Check its certificates, and a proxy in between.",
    ),
    (re.compile(r"client error \((407 [^)]*)\)"), r"is behind a proxy that answers \1", "Check HTTPS_PROXY."),
    (re.compile(r"client error \((429 [^)]*)\)"), r"answers \1", "Try again later."),
    (
        re.compile(r"server error \((5\d\d[^)]*)\)"),
        r"answers \1",
        "Try again later, or ask whoever runs it.",
    ),
    (
        re.compile(r"dns error|error resolving DNS|Could not resolve host", re.IGNORECASE),
        "cannot be reached, for its name is not known",
        "Check the network and the index URL.",
    ),
    (
        re.compile(r"timed out", re.IGNORECASE),
        "does not answer in time",
        "Check the network, or give it more seconds in UV_HTTP_TIMEOUT.",
    ),
    (re.compile(""), "cannot be reached", "Check the network and the index URL."),
)
_MISSING = re.compile(r"(\S+) was not found in the (?:package registry|provided package locations|cache)")

_CHANGE = "Change the model's requirements."

# A message of uv → the sentence. The first pattern that matches counts, so special ones stand before general ones.
_SENTENCES = (
    (_MISSING, rf"No package index that was asked has a package '\1'. {_CHANGE}"),
    (
        re.compile(r"[Tt]here (?:is|are) no versions? of (?:([A-Za-z0-9._-]+)(?:\[[^\]]*\])?)([=<>!~]=?[^\s,]+)"),
        rf"No version of \1 matches \2. {_CHANGE}",
    ),
    (
        re.compile(r"only (?:the following versions of )?(.+? (?:is|are) available)"),
        rf"The requirements cannot be met: only \1. {_CHANGE}",
    ),
    (
        re.compile(r"(\S+) has no (?:usable wheels|wheels with a matching .*?tag)(?: \(e\.g\., `(\w+)`\))?"),
        r"\1 is not offered for this Python and machine. Change its version, or log the model under another Python.",
    ),
    (
        re.compile(r"the requested Python version \(([^)]*)\) does not satisfy Python([^\s,]+)"),
        r"A requirement needs Python \2. Change its version, or log the model under another Python.",
    ),
    (
        re.compile(r"Failed to build `([^`]+)`"),
        r"\1 has no wheel for this Python and does not build from source; the build log says why. Change its version.",
    ),
    (
        re.compile(r"The build backend returned an error|Failed to (?:build|prepare|resolve requirements)"),
        r"A requirement that is built from source failed to build; the build log says why. Choose one with a wheel.",
    ),
    (
        re.compile(r"Hash mismatch for `([^`@\s]+)"),
        (
            r"The file of \1 has another hash than the one that is pinned. Correct --hash in the model's requirements. "
            r"If they have none, the index has changed the file since it was locked: check it, or change the version."
        ),
    ),
    (
        re.compile(r"Git operation failed|Git executable not found"),
        r"A requirement could not be fetched by git; the build log says why. Check its address, and git.",
    ),
    (
        re.compile(r"Couldn't parse requirement.*\n\s*cause: ([^\n]*)\n\s*([^\n]*)"),
        r"The model's requirements have a line that cannot be read: '\2' (\1). Correct it.",
    ),
    (
        re.compile(r"No download found for request: (\S+)"),
        r"uv has no download for \1",
    ),
)
_CONCLUSION = re.compile(
    r"Because (.*?),?\s+(?:we can conclude|it's a requirement|your requirements are unsatisfiable)", re.DOTALL
)


def explain(lines: Sequence[str]) -> str:
    """One sentence, or two, on why uv failed and what to do."""
    text = "\n".join(lines)
    if DISK_FULL in text:
        return disk_full(_path_of(text))
    if refused := refusal(lines):
        return f"{refused} Correct those in its URL, or the variables of the server's environment that the URL names."
    if network_failed(lines):
        return _network_sentence(text)
    for pattern, sentence in _SENTENCES:
        if match := pattern.search(text):
            return match.expand(sentence)
    if because := _CONCLUSION.search(text):
        return f"The requirements contradict each other: {_shortened(because[1])}. {_CHANGE}"
    causes = [line.strip().removeprefix("error: ").removeprefix("cause: ") for line in lines if "error" in line.lower()]
    return f"The environment could not be made: {_shortened((causes or list(lines) or ['no output'])[0])}."


def disk_full(directory: str) -> str:
    """The sentence for a disk without room."""
    return f"The disk is full: there is no room in {directory}. Free space there, then try again."


def refusal(lines: Sequence[str]) -> str:
    """A sentence on the index or server that refused the credentials; empty when none did.

    It names the host alone, as the URL's path may hold a secret.
    """
    text = "\n".join(lines)
    match = next(filter(None, (pattern.search(text) for pattern in _REFUSALS)), None)
    if match is None:
        return ""
    status = match["status"]
    what = "package index" if status[0].isdigit() else "repository's server"
    return f"The {what} {_host(match['url'])} refused the credentials ({status}): it got none, or wrong ones."


def network_failed(lines: Sequence[str]) -> bool:
    """Whether the network, not the requirements, is why uv failed."""
    return any(_NETWORK.search(line) for line in lines if not line.startswith("warning"))


def missing_packages(lines: Sequence[str]) -> set[str]:
    """The packages that no index has."""
    return set(_MISSING.findall("\n".join(lines)))


def _network_sentence(text: str) -> str:
    for pattern, what, advice in _NETWORK_FAILURES:
        if match := pattern.search(text):
            return f"{_host(text)} {match.expand(what)}, and what is needed is not in the cache. {advice}"
    raise AssertionError("the last pattern matches everything")


def _host(text: str) -> str:
    found = _URL.search(text)
    return found[1] if found else "The package index"


def _path_of(text: str) -> str:
    path = re.search(r"`?(/[^`'\"\n]*?)[`'\"]?:? " + DISK_FULL, text) or re.search(r"[`'\"](/[^`'\"\n]+)[`'\"]", text)
    return path[1].rsplit("/", 1)[0] if path else "the data directory"


def _shortened(text: str, limit: int = 400) -> str:
    flat = " ".join(text.split()).rstrip(".")
    return flat if len(flat) <= limit else f"{flat[:limit]}…"
