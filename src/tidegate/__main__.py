"""`tidegate` and `python -m tidegate`."""

import sys
from collections.abc import Iterator, Sequence


def main() -> None:
    """Run the command line; ends the process with its exit status."""
    if any(argument.startswith("--token") for argument in sys.argv):
        _hide_token(sys.argv)
    try:
        from tidegate.cli.app import app  # inside, so that Ctrl-C is quiet from the first moment on

        app(prog_name="tidegate")
    except KeyboardInterrupt:
        sys.exit(130)


def _hide_token(arguments: Sequence[str]) -> None:
    """Show the arguments without the token to other users of this machine: `ps` lists a process's arguments."""
    from setproctitle import setproctitle

    setproctitle(" ".join(["tidegate", *_shown(arguments[1:])]))


def _shown(arguments: Sequence[str]) -> Iterator[str]:
    hidden = False
    for argument in arguments:
        option, separator, _ = argument.partition("=")
        yield "…" if hidden else f"{option}=…" if separator and option == "--token" else argument
        hidden = argument == "--token"


if __name__ == "__main__":
    main()
