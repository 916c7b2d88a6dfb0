"""The data directory of a platform, and the paths of all files in it."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

# The path of a Unix socket has at most 107 bytes (sun_path, unix(7)). The longest name below `run/` has 16.
_MAX_RUN_PATH = 107 - 17
# Below a scratch directory, whose name has 8 bytes, libraries make sockets of up to 36 bytes (multiprocessing's are
# `pymp-XXXXXXXX/listener-XXXXXXXX`, PyTorch's `torch-shm-dir-XXXXXX/manager.sock`).
_MAX_SCRATCH_PATH = 107 - 9 - 37


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The paths below one root. Only `create` creates anything."""

    root: Path

    def create(self) -> None:
        """Create the directories. Only this user may enter the root, `run` and `scratch`. Raises OSError."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (
            self.envs,
            self.overlays,
            self.models,
            self.build_logs,
            self.targets,
            self.uv_cache,
            self.ledgers,
            self.imports,
        ):
            folder.mkdir(exist_ok=True, parents=True)
        self.run.mkdir(exist_ok=True, parents=True)
        self.run.chmod(0o700)
        self.exits.mkdir(exist_ok=True)
        self.scratch.mkdir(exist_ok=True)
        self.scratch.chmod(0o700)

    @property
    def database(self) -> Path:
        return self.root / "tidegate.db"

    @property
    def series(self) -> Path:
        """The database of the time series, unless the store is in PostgreSQL."""
        return self.root / "series.db"

    @property
    def admin_token(self) -> Path:
        return self.root / "admin.token"

    @property
    def lock(self) -> Path:
        """Locked by the supervisor that uses this directory."""
        return self.root / "lock"

    @property
    def server_file(self) -> Path:
        """The URL of a running platform, for the command line: JSON with `url` and `pid`."""
        return self.root / "server.json"

    @property
    def envs(self) -> Path:
        return self.root / "envs"

    @property
    def overlays(self) -> Path:
        return self.root / "overlays"

    @property
    def imports(self) -> Path:
        """The import records of environments, for their templates: `<digest>.json`."""
        return self.root / "imports"

    @property
    def uv_cache(self) -> Path:
        """uv's cache. It is on the file system of `envs`, so that uv hard-links packages."""
        return self.root / "envs" / ".uv-cache"

    @property
    def pythons(self) -> Path:
        """Downloaded Python interpreters, for versions that this machine does not have."""
        return self.root / "pythons"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def build_logs(self) -> Path:
        """The build logs of revisions: `<revision>.log`."""
        return self.root / "logs" / "builds"

    @property
    def targets(self) -> Path:
        """The agent's applied targets, one file per revision, which it holds again after a restart."""
        return self.root / "targets"

    @property
    def ledgers(self) -> Path:
        """The gateways' counters, one file per gateway."""
        return self.root / "ledgers"

    @property
    def mlflow(self) -> Path:
        """The embedded registry's database and artifacts."""
        return self.root / "mlflow"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.mlflow / "artifacts"

    @property
    def run(self) -> Path:
        """Sockets and pid files. The folder is elsewhere where the root's path is too long for a socket."""
        inside = self.root / "run"
        if len(os.fsencode(inside)) <= _MAX_RUN_PATH:
            return inside
        base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        return Path(base) / f"tidegate-{self._digest}"

    @property
    def scratch(self) -> Path:
        """The working directories of replicas.

        The folder is in the temporary directory where the root's path is too long for a model's sockets. It is never in
        the runtime directory, which is in memory.
        """
        inside = self.root / "scratch"
        if len(os.fsencode(inside)) <= _MAX_SCRATCH_PATH:
            return inside
        return Path(tempfile.gettempdir()) / f"tidegate-scratch-{self._digest}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]

    @property
    def api_socket(self) -> Path:
        """The socket of control's REST API."""
        return self.run / "api.sock"

    @property
    def planes_socket(self) -> Path:
        """The socket by which control sends route tables and receives load reports."""
        return self.run / "planes.sock"

    @property
    def agent_socket(self) -> Path:
        """The agent's socket."""
        return self.run / "agent.sock"

    def note_socket(self, gateway: int) -> Path:
        """The socket at which a gateway is asked for slow requests and errors."""
        return self.run / f"notes-{gateway}.sock"

    @property
    def registry_socket(self) -> Path:
        """The embedded MLflow server's socket."""
        return self.run / "registry.sock"

    @property
    def exits(self) -> Path:
        """Wait statuses of orphans that the supervisor has reaped, each in a file `<pid>`."""
        return self.run / "exits"

    def route_table(self, gateway: int) -> Path:
        """A gateway's copy of its last route table."""
        return self.run / f"routes-{gateway}.json"

    def access_table(self, gateway: int) -> Path:
        """A gateway's copy of its last access table: hashes of credentials, and no credential."""
        return self.run / f"access-{gateway}.json"

    def ledger(self, gateway: int) -> Path:
        """A gateway's counters. The file is not below `run`, which may be lost at a reboot."""
        return self.ledgers / f"{gateway}.bin"

    def build_log(self, revision: str) -> Path:
        """The log of a revision's download and build."""
        return self.build_logs / f"{revision}.log"

    def replica_log(self, revision: str) -> Path:
        """The output of a revision's replicas."""
        return self.logs / "replicas" / f"{revision}.log"

    def refutations(self, revision: str) -> Path:
        """Where a revision's replicas note for each other that batching changes answers."""
        return self.targets / f"{revision}.refuted"

    def import_record(self, environment: str) -> Path:
        """The import record of an environment: the modules that its models import."""
        return self.imports / f"{environment}.json"

    def template_log(self, environment: str) -> Path:
        """The output of an environment's templates."""
        return self.logs / "templates" / f"{environment}.log"
