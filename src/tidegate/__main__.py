"""`tidegate` and `python -m tidegate`."""

import sys


def main() -> None:
    """Run the command line; ends the process with its exit status."""
    try:
        from tidegate.cli.app import app  # inside, so that Ctrl-C is quiet from the first moment on

        app(prog_name="tidegate")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
