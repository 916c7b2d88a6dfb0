"""The variables that requirements name as `${NAME}`, as in pip. uv alone sees and inserts their values.

Format: https://pip.pypa.io/en/stable/reference/requirements-file-format/#using-environment-variables.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlsplit

from tidegate.adapters.requirements.pip_requirements import MODEL_DIR
from tidegate.core.errors import BuildFailed

_NAMED = re.compile(r"\$\{([A-Z0-9_]+)\}")
# A variable at the beginning of a requirement, of the place of a named one, or of an option's value.
_WHOLE = re.compile(r"(?:^|\s|^[\w.-]+(?:\[[^\]]*\])?@)\$\{([A-Z0-9_]+)\}")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LOCAL = re.compile(r"([a-z]+\+)?file:", re.IGNORECASE)
_OURS = "TIDEGATE_"  # settings, a store's password among them
_SHORTEST = 4  # characters; what is shorter is no secret, and stands in words
# `user:password@` of a URL; `git@` is no secret, nor are variables.
_CREDENTIALS = re.compile(r"(?<=://)(?!git@|(?:\$\{[A-Z0-9_]+\}:?)+@)[^\s/@]+@")


def variables_named(lines: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that these lines name, with their values in the server's environment.

    Raises BuildFailed for a variable that is not set, and for one of Tidegate's own.
    """
    names = sorted({name for line in lines for name in _NAMED.findall(line)} - {MODEL_DIR})
    for name in names:
        if name.startswith(_OURS):
            raise BuildFailed(
                f"The model's requirements name ${{{name}}}, but Tidegate's own variables are not for models."
            )
        if name not in environ:
            raise BuildFailed(
                f"The model's requirements name ${{{name}}}, which the server's environment does not have. "
                "Set it where `tidegate up` is started, then try again."
            )
    return {name: environ[name] for name in names}


def refuse_local_values(lines: Iterable[str], variables: Mapping[str, str]) -> None:
    """Raise BuildFailed for a variable in the place of a URL whose value is no URL of another machine."""
    for line in lines:
        for name in _WHOLE.findall(line):
            value = variables.get(name, "https://")
            if not _REMOTE.match(value) or _LOCAL.match(value):
                raise BuildFailed(
                    f"The model's requirements name ${{{name}}} where a URL must stand, and the server's variable is "
                    "no URL of another machine. Name a variable that is one, or log the files with the model."
                )


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """The text with these variables replaced by their values. Other variables stay."""
    return _NAMED.sub(lambda match: variables.get(match[1], match[0]), text)


def masked(line: str, variables: Mapping[str, str]) -> str:
    """The line with the values of these variables replaced by their names."""
    forms = {form: name for name, value in variables.items() for form in _forms(value)}
    for form in sorted(forms, key=len, reverse=True):
        line = line.replace(form, f"${{{forms[form]}}}")
    return line


def without_credentials(text: str) -> str:
    """The text without the credentials of URLs."""
    return _CREDENTIALS.sub("****@", text)


def _forms(value: str) -> set[str]:
    """The forms of a value in a text: plain, percent-encoded and, where it is a URL, the URL's parts."""
    parts = [value]
    if "://" in value:
        url = urlsplit(value)
        parts += [url.username or "", url.password or "", url.path.strip("/"), url.query]
    forms = {form for part in parts for form in (part, quote(part), quote(part, safe=""), unquote(part))}
    return {form for form in forms if len(form) >= _SHORTEST}
