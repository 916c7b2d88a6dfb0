"""The embedded model registry: an MLflow server under /mlflow, on a Unix socket, in one process.

`mlflow server` would start a second process that only waits, and needs a port. This module runs the same application
under the same uvicorn instead. Its settings are the variables that `mlflow server` gives to its own workers
(`mlflow.server.constants`; a test compares them). There is no TCP port, as requests to it would need no token.

Whoever has the token may create an experiment with any `artifact_location`, and MLflow would write and read files
there. This server opens its own artifacts and locations below the given roots only.
"""

import logging
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tidegate import life_line, private_socket
from tidegate.adapters.mlflow.artifact_locations import ArtifactLocations, guard, shown
from tidegate.atomic_write import write_atomically
from tidegate.data_directory import DataDirectory

PREFIX = "/mlflow"
_ARTIFACT_ROOT = "mlflow-artifacts:/"  # clients send files to this server, which keeps them

# Variables of `tidegate up` that would change who may call the server or where it keeps its data, or would slow it
# down: without bytecode its import takes twice as long.
_DROPPED = (
    "_MLFLOW_",
    "MLFLOW_SERVER_",
    "MLFLOW_TRACKING_",
    "MLFLOW_REGISTRY_",
    "MLFLOW_ENABLE_WORKSPACES",
    "TIDEGATE_",
)
_DROPPED_NAMES = ("PYTHONDONTWRITEBYTECODE",)

logger = logging.getLogger(__name__)


def command(data: DataDirectory, life_line_fd: int, artifact_roots: Sequence[str] = ()) -> list[str]:
    """The argv that starts the server; it ends when the pipe of `life_line_fd` (see `tidegate.life_line`) closes.

    `artifact_roots` are where it may open files besides its own artifacts (see `artifact_locations`).
    """
    # -P: a folder `mlflow` in the working directory must not be taken for the package.
    module = [sys.executable, "-P", "-m", "tidegate.adapters.mlflow.embedded_registry"]
    return [*module, str(data.registry_socket), str(_database(data)), str(life_line_fd), *artifact_roots]


def environment(data: DataDirectory, environ: Mapping[str, str]) -> dict[str, str]:
    """The server's environment, out of that of `tidegate up`."""
    kept = {
        name: value for name, value in environ.items() if not name.startswith(_DROPPED) and name not in _DROPPED_NAMES
    }
    uri = f"sqlite:///{_database(data)}"
    return kept | {
        "_MLFLOW_SERVER_FILE_STORE": uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": _ARTIFACT_ROOT,
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(data.mlflow_artifacts),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_STATIC_PREFIX": PREFIX,
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",  # MLflow's own imports warn of their dependencies
    }


def main(socket: str, database: str, life_line_fd: str, *artifact_roots: str) -> None:
    """Serve until SIGTERM, or until the supervisor is gone."""
    # Not at the top: the supervisor imports this module for the two functions above, and stays small.
    import uvicorn
    from setproctitle import setproctitle

    setproctitle("tidegate: registry")
    life_line.watch(int(life_line_fd))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s registry: %(message)s")
    for noisy in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    _guard(ArtifactLocations("", (str(Path(database).with_name("artifacts")), *artifact_roots)))
    _open_database(Path(database))
    private_socket.reserve(Path(socket))
    uvicorn.run(
        "mlflow.server.fastapi_app:app",
        uds=socket,
        # MLflow lets loopback clients run commands on this machine (its "assistant"). Over a Unix socket a request has
        # no client address, so that stays shut: unless a header is believed to say one.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=5,
    )


def _guard(locations: ArtifactLocations) -> None:
    """Have the server open no other locations than these, and make no experiment that has another one."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
    from mlflow.server import handlers
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    def refuse(location: str, why: str) -> Exception:
        refused: Exception = MlflowException(
            f"This registry does not open {location}, {why}. Create the experiment without an artifact_location, or "
            "let an administrator list the place in Tidegate's setting registry.artifact_roots.",
            INVALID_PARAMETER_VALUE,
        )
        return refused

    class GuardedStore(SqlAlchemyStore):  # type: ignore[misc]
        def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> Any:
            if artifact_location and (why := locations.refusal(artifact_location)):
                raise refuse(shown(artifact_location), why)
            return super().create_experiment(name, artifact_location, tags)

    def guarded_store(store_uri: str, artifact_uri: str) -> SqlAlchemyStore:
        return GuardedStore(store_uri, artifact_uri)

    guard(locations, refuse)
    # As a plug-in of MLflow's does, but in this process alone.
    handlers._tracking_store_registry.register("sqlite", guarded_store)  # noqa: SLF001


def _database(data: DataDirectory) -> Path:
    return data.mlflow / "mlflow.db"


def _open_database(file: Path) -> None:
    """Make the database, or bring it to the schema of the installed MLflow, before the first request."""
    from mlflow import __version__, db
    from mlflow.server.handlers import initialize_backend_stores

    file.parent.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{file}"
    stamp = file.with_suffix(".version")
    last = stamp.read_text() if stamp.exists() else __version__
    if last != __version__:
        logger.info("MLflow %s takes over the database of MLflow %s", __version__, last)
        _back_up(file, file.with_name(f"{file.name}.{last}"))
        db.upgrade.main([uri], standalone_mode=False)  # `mlflow db upgrade`
    initialize_backend_stores(uri, uri, _ARTIFACT_ROOT)
    write_atomically(stamp, __version__)


def _back_up(file: Path, copy: Path) -> None:
    if copy.exists():  # an upgrade was cut short: the database is no longer the old one
        return
    half_made = copy.with_name(f"{copy.name}.tmp")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(half_made)) as target:
        source.backup(target)
    half_made.replace(copy)


if __name__ == "__main__":
    main(*sys.argv[1:])
