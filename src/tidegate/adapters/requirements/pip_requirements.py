"""Reads a model's requirements files, which are in pip's format, into one list for uv.

Format: https://pip.pypa.io/en/stable/reference/requirements-file-format/. Files of the model are written with the
variable `MODEL_DIR`, which uv expands, so that a lock does not depend on where the model was downloaded to.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from packaging.utils import InvalidWheelFilename, canonicalize_name, is_normalized_name, parse_wheel_filename

from tidegate.adapters.requirements.control_characters import has_control
from tidegate.adapters.requirements.local_files import in_model
from tidegate.bounded_text import text_of
from tidegate.core.errors import BuildFailed

MODEL_DIR = "TIDEGATE_MODEL_DIR"

# Options of pip that take a value, and what each is called in full.
_VALUED = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-i": "--index-url",
    "-f": "--find-links",
    "--pypi-url": "--index-url",
} | {
    name: name
    for name in (
        *("--requirement", "--constraint", "--editable", "--index-url", "--extra-index-url", "--find-links"),
        *("--no-binary", "--only-binary", "--trusted-host", "--use-feature"),
    )
}
# Options whose values may have gaps: they name files of the model, or are read as a requirement.
_NAMES_FILES = {"--requirement", "--constraint", "--editable", "--find-links"}
# A name with or without extras, versions and a marker. uv checks the rest.
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*([=<>!~(;].*|@.*)?")
_NAMED_PLACE = re.compile(r"([A-Za-z0-9][\w.-]*(?:\[[^\]]*\])?)\s*@\s*(.*?)(\s+;.*)?")
_FILE = re.compile(r"(.*?)(\[[^\]]*\])?(\s*;.*)?")
_FILE_URL = re.compile(r"file:(?://(?:localhost(?=/))?)?", re.IGNORECASE)
# A URL of another machine; `git+file:` is none.
_REMOTE = re.compile(r"(?![a-z0-9.+-]*file:)[a-z][a-z0-9.+-]*://", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(whl|zip|tar\.gz)(\[|\s|;|$)")
# A variable, which may be a URL's beginning: see `named_variables.refuse_local_values`.
_VARIABLE = re.compile(rf"\$\{{(?!{MODEL_DIR}\}})[A-Z0-9_]+\}}")
# In the place of a file without quotes: uv would take what stands before it for the whole, which may be a link.
_MEANS_MORE = re.compile(r"\s[#;-]|#|[\[\]]")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_GAP = re.compile(r"\s{33,}")
# The regular expressions take a time that grows with the square of a line's length, and block all of control.
_LONGEST_REQUIREMENT = 2000  # characters, without its hashes
_MOST_CHARACTERS = 2**20  # of all lines together


@dataclass(slots=True)
class PipRequirements:
    """The requirements of a model, and pip's options among them.

    `options` are lines that uv accepts in a requirements file; `arguments` are options for its command line. `local`
    are the files and folders to install, `wheelhouses` those of `--find-links`. `notes` go to the build log.
    """

    requirements: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    prereleases: bool = False
    local: list[Path] = field(default_factory=list)
    wheelhouses: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def names_index(self) -> bool:
        """Whether a line names the index to use instead of the default one."""
        return any(option.startswith("--index-url") for option in self.options)

    @property
    def names(self) -> set[str]:
        """The canonical names of what is required, as far as a line shows its name. uv is asked for them alone."""
        return {name for line in self.requirements if is_normalized_name(name := name_of(line))}


def parse_requirements(lines: Iterable[str], model_dir: Path) -> PipRequirements:
    """The requirements of these lines and of the files that they include. Raises BuildFailed with the faulty line."""
    reader = _Reader(model_dir)
    reader.read(lines, model_dir, constraint=False)
    bare = next((line for line in reader.found.requirements if "--hash" not in line), None)
    if reader.require_hashes and bare is not None:
        raise BuildFailed(f"The model's requirements have --require-hashes, but '{bare}' has no --hash. Add it.")
    return reader.found


def name_of(requirement: str) -> str:
    """The canonical name of the package that a requirement names; empty when the line does not show it."""
    requirement = re.split(r"\s+--[a-z]", requirement)[0]
    named = _NAMED.fullmatch(requirement)
    if named:
        return canonicalize_name(named[1])
    if egg := re.search(r"(?:^|&)egg=([A-Za-z0-9._-]+)", requirement.partition("#")[2]):
        return canonicalize_name(egg[1])
    last = re.split(r"[;#\[]", requirement)[0].strip().rstrip("/").rsplit("/", 1)[-1]
    try:
        return parse_wheel_filename(last)[0]
    except InvalidWheelFilename:
        return canonicalize_name(re.split(r"@|\.git", last)[0])


class _Reader:
    """Reads requirements files and collects their requirements and options."""

    def __init__(self, model_dir: Path) -> None:
        self.found = PipRequirements()
        self.require_hashes = False
        self._characters = 0
        self._root = model_dir
        self._seen: set[tuple[Path, bool]] = set()

    def read(self, lines: Iterable[str], folder: Path, *, constraint: bool) -> None:
        """Take the lines of a file that lies in `folder`."""
        for line in _logical_lines(lines):
            self._characters += len(line)
            if self._characters > _MOST_CHARACTERS:
                raise BuildFailed("The model's requirements are longer than 1 MiB. Name what it needs, and no more.")
            if has_control(line):
                raise BuildFailed(
                    f"A line of the model's requirements has a line end or another control character: {line[:120]!r}. "
                    "Write one line for each requirement."
                )
            if line.startswith("-"):
                self._options(line, folder, constraint=constraint)
            else:
                self._requirement(line, constraint=constraint)

    def _options(self, line: str, folder: Path, *, constraint: bool) -> None:
        try:
            words = shlex.split(line)
        except ValueError:
            raise BuildFailed(f"The model's requirements have a line that cannot be read: '{line[:120]}'.") from None
        while words:
            word = words.pop(0)
            option, _, value = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
            if option not in _VALUED:
                self._flag(option)
                continue
            if not value and not words:
                raise BuildFailed(f"'{option}' in the model's requirements has no value.")
            self._option(_VALUED[option], value or words.pop(0), folder, constraint=constraint)

    def _option(self, option: str, value: str, folder: Path, *, constraint: bool) -> None:
        if value.startswith("-") or (option not in _NAMES_FILES and re.search(r"\s", value)):
            raise BuildFailed(
                f"'{option}' in the model's requirements has the value '{value[:200]}', which begins with '-' or has a "
                "gap. Correct it."
            )
        match option:
            case "--requirement" | "--constraint":
                self._file(value, folder, constraint=constraint or option == "--constraint")
            case "--editable":  # a plain install, as the environment outlives this copy of the model
                self._requirement(value, constraint=constraint)
            case "--trusted-host":
                self.found.arguments += ["--allow-insecure-host", value]
            case "--find-links":
                self.found.options.append(f"--find-links {self._find_links(value, folder)}")
            case "--use-feature":
                self.found.notes.append(f"{option} {value} in the model's requirements means nothing to uv; left out.")
            case "--index-url" | "--extra-index-url" if not (_REMOTE.match(value) or _VARIABLE.match(value)):
                raise BuildFailed(
                    f"The model's requirements name the package index '{value[:200]}', which is no URL of another "
                    "machine. Log the packages with the model, and name their folder by --find-links."
                )
            case _:
                self.found.options.append(f"{option} {value}")

    def _flag(self, option: str) -> None:
        if option == "--no-index":
            self.found.options.append(option)
        elif option == "--pre":
            self.found.prereleases = True
        elif option == "--require-hashes":
            self.require_hashes = True
        else:
            self.found.notes.append(f"{option} in the model's requirements means nothing to uv; left out.")

    def _file(self, name: str, folder: Path, *, constraint: bool) -> None:
        path = in_model(name, folder, self._root)
        if not path.is_file():
            raise BuildFailed(f"The model's requirements name the file '{name}', which is a folder. Correct the line.")
        if (path, constraint) not in self._seen:
            self._seen.add((path, constraint))
            text = text_of(path, _MOST_CHARACTERS, "replace")
            self.read(text.splitlines(), path.parent, constraint=constraint)

    def _find_links(self, value: str, folder: Path) -> str:
        if _REMOTE.match(value) or _VARIABLE.match(value):
            if re.search(r"\s", value):
                raise BuildFailed(f"'--find-links {value[:200]}' in the model's requirements has a gap. Correct it.")
            return value
        given = _path_of(value)
        try:
            path = in_model(given, folder, self._root)
        except BuildFailed:
            path = in_model(given, self._root, self._root)
        self.found.wheelhouses.append(path)
        return self._portable(path)

    def _requirement(self, line: str, *, constraint: bool) -> None:
        text, *options = re.split(r"\s+(?=--[a-z])", line)
        if len(text) > _LONGEST_REQUIREMENT:
            raise BuildFailed(
                f"A line of the model's requirements is longer than {_LONGEST_REQUIREMENT} characters: "
                f"'{text[:120]}…'. Correct it."
            )
        hashes = [option for option in options if option.startswith("--hash")]
        if len(hashes) < len(options):
            self.found.notes.append(f"Options of '{text}' other than --hash mean nothing to uv; left out.")
        requirement = " ".join([self._located(text), *hashes])
        (self.found.constraints if constraint else self.found.requirements).append(requirement)

    def _located(self, text: str) -> str:
        """The requirement. The path of a file in it is written by the variable `MODEL_DIR`."""
        if named := _NAMED_PLACE.fullmatch(text):
            if _REMOTE.match(named[2]) or _VARIABLE.match(named[2]):
                return text
            return f"{named[1]} @ file://{self._local(named[2], quoted=True)}{named[3] or ''}"
        if _REMOTE.match(text) or _VARIABLE.match(text):
            return text
        if _NAMED.fullmatch(text) and not _ARCHIVE.search(text):
            return text
        parts = _FILE.fullmatch(text)
        if parts is None:
            raise BuildFailed(f"The model's requirements have a line that cannot be read: {text[:120]!r}.")
        return self._local(parts[1]) + (parts[2] or "") + (parts[3] or "")

    def _local(self, given: str, *, quoted: bool = False) -> str:
        path = in_model(_path_of(given), self._root, self._root)
        self.found.local.append(path)
        return self._portable(path, quoted=quoted)

    def _portable(self, path: Path, *, quoted: bool = False) -> str:
        place = path.relative_to(self._root).as_posix()
        if "${" in place:
            raise BuildFailed(f"'{place[:200]}' of the model has '${{' in its name, which means a variable. Rename it.")
        if has_control(place) or (not quoted and _MEANS_MORE.search(place)):
            raise BuildFailed(
                f"{place[:200]!r} of the model has a character in its name that means more in a requirements file, "
                "such as '#', a bracket or a line end. Rename it."
            )
        return f"${{{MODEL_DIR}}}/{quote(place, safe='/+!@~') if quoted else place}".rstrip("/.")


def _path_of(given: str) -> str:
    """The path that is meant by a `file:` URL or a path, as seen from the model where it names its folder."""
    url = _FILE_URL.match(given)
    path = unquote(given[url.end() :]) if url else given
    return path.removeprefix(f"${{{MODEL_DIR}}}/")


def _logical_lines(lines: Iterable[str]) -> Iterable[str]:
    """The logical lines, as in pip: without comments and blank lines, and with continuation lines joined."""
    held = ""
    for line in [*lines, ""]:
        if line.rstrip().endswith("\\") and not line.lstrip().startswith("#"):
            held += line.rstrip()[:-1]
            continue
        whole = _COMMENT.sub("", f"{held} {line}" if line.lstrip().startswith("#") else held + line).strip()
        held = ""
        if whole:
            yield _GAP.sub(" ", whole)
