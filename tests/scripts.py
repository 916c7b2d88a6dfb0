"""A program that has imported what takes long once, and then does one thing for each line of its input."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class Script:
    """A Python file that runs as such a program. A line of its output that begins with one of `ends` is an answer."""

    def __init__(self, file: Path, ends: tuple[str, ...], environ: Mapping[str, str], log: Path | None = None) -> None:
        self._ends, self._log = ends, log
        with (log or Path(os.devnull)).open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, str(file)], env=environ, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said if log else None,
            )  # fmt: skip

    def ask(self, line: str) -> str:
        """Have one thing done, to its end; returns the answer. Who is interrupted meanwhile has ended the program."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            for said in self._process.stdout:
                if said.startswith(self._ends):
                    return said.rstrip("\n")
        except BaseException:  # a late answer must not be taken for the next one's
            self._process.kill()
            raise
        raise AssertionError(f"it has ended: {self.words()}")

    def words(self) -> str:
        """The end of what it said on standard error, where that is kept."""
        return self._log.read_text()[-4000:] if self._log else "why is on standard error"

    def end(self) -> None:
        """End it, and close its pipes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
