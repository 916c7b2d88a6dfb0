"""A PostgreSQL server."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator

import psycopg

from tests.services.process import Program, folder, running
from tests.services.programs import POSTGRESQL, environ


@contextlib.contextmanager
def postgresql_server() -> Iterator[str]:
    """An empty PostgreSQL server; the URL of its database `postgres`."""
    initdb, postgres = POSTGRESQL.program("initdb"), POSTGRESQL.program("postgres")
    with folder() as home:
        user = _user()
        if user is not None:
            shutil.chown(home, user)
        made = subprocess.run(
            [initdb, "--pgdata", home / "data", "--username", "tidegate", "--auth", "trust", "--no-sync",
             "--encoding", "UTF8", "--locale", "C.UTF-8"],
            env=environ(initdb), cwd=home, user=user, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        # What is here is not kept: no need to wait for the disk.
        words = [postgres, "-D", home / "data", "-k", home, "-c", "listen_addresses=", "-c", "fsync=off"]
        url = f"postgresql://tidegate@/postgres?host={home}"
        # SIGINT ends it at once; SIGTERM waits until the last client has gone.
        with running(Program(words, user, signal.SIGINT), home / "log", lambda: _answers(url)):
            yield url


def _answers(url: str) -> bool:
    """It listens before it answers."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


def _user() -> str | None:
    """Whom it runs as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
