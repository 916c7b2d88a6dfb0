"""How long work shows on standard error: a live line below what is done on a terminal, plain lines elsewhere."""

import sys
import time
from typing import TYPE_CHECKING, Self

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


class Progress:
    """A context manager. `tell` adds a line that stays; `show` replaces the live one, which only a terminal has."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._stream = sys.stderr  # as it is now: a library's own talk may be redirected meanwhile
        self._console: Console | None = None
        self._status: Status | None = None
        if self._stream.isatty():
            import rich.console

            self._console = rich.console.Console(file=self._stream, highlight=False)

    def __enter__(self) -> Self:
        if self._console is not None:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, line: str) -> None:
        """Say that something was done, with the seconds since the beginning."""
        line = f"{time.monotonic() - self._started:6.1f} s  {line}"
        if self._console is None:
            typer.echo(line, file=self._stream)
        else:
            self._console.print(line, markup=False)

    def show(self, doing: str, detail: str = "") -> None:
        """Show what is being done; `detail` is one line of it, cut to the terminal's width."""
        if self._status is None or self._console is None:
            return
        from rich.text import Text

        text = Text(doing)
        if detail:
            text.append(f"\n  {detail}", style="dim")
        text.truncate(self._console.width * 2, overflow="ellipsis")
        self._status.update(text)
