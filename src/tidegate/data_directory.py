"""The data directory: where each thing of a platform lives on disk."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

# A Unix socket's path may have 107 bytes (sun_path, unix(7)); the longest name below `run/` is 16.
_MAX_RUN_PATH = 107 - 17
# Below a scratch directory, of which the name has 8, models' libraries make sockets of up to 36 (multiprocessing's are
# `pymp-XXXXXXXX/listener-XXXXXXXX`, PyTorch's `torch-shm-dir-XXXXXX/manager.sock`).
_MAX_SCRATCH_PATH = 107 - 9 - 37


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The paths below one root. Nothing is created here but by `create`."""

    root: Path

    def create(self) -> None:
        """Make the directories that must be there; `run` and the root are for this user alone."""
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
    def admin_token(self) -> Path:
        return self.root / "admin.token"

    @property
    def lock(self) -> Path:
        """Locked by the supervisor that uses this directory."""
        return self.root / "lock"

    @property
    def server_file(self) -> Path:
        """Where a running platform answers, for the command line: JSON with `url` and `pid`."""
        return self.root / "server.json"

    @property
    def envs(self) -> Path:
        return self.root / "envs"

    @property
    def overlays(self) -> Path:
        return self.root / "overlays"

    @property
    def imports(self) -> Path:
        """What the models of each environment import, for its template: `<digest>.json`, beside its environment."""
        return self.root / "imports"

    @property
    def uv_cache(self) -> Path:
        """uv's cache: on the same file system as `envs`, so that packages are hard-linked."""
        return self.root / "envs" / ".uv-cache"

    @property
    def pythons(self) -> Path:
        """Python interpreters that were fetched because none on this machine fitted."""
        return self.root / "pythons"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def build_logs(self) -> Path:
        """Build logs, one per revision: `<revision>.log`."""
        return self.root / "logs" / "builds"

    @property
    def targets(self) -> Path:
        """The agent's applied targets, one file per revision: what it holds after a restart without asking anyone."""
        return self.root / "targets"

    @property
    def ledgers(self) -> Path:
        """The gateways' counters, one file for each."""
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
        """Sockets and pid files. Elsewhere when the root is too deep for a socket's path."""
        inside = self.root / "run"
        if len(os.fsencode(inside)) <= _MAX_RUN_PATH:
            return inside
        base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        return Path(base) / f"tidegate-{self._digest}"

    @property
    def scratch(self) -> Path:
        """Replicas' working directories, one for each. Elsewhere when the root is too deep for a model's sockets; not
        in the runtime directory, which is memory."""
        inside = self.root / "scratch"
        if len(os.fsencode(inside)) <= _MAX_SCRATCH_PATH:
            return inside
        return Path(tempfile.gettempdir()) / f"tidegate-scratch-{self._digest}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]

    @property
    def api_socket(self) -> Path:
        """Control's REST API."""
        return self.run / "api.sock"

    @property
    def planes_socket(self) -> Path:
        """Where control hands out route tables and takes load reports."""
        return self.run / "planes.sock"

    @property
    def agent_socket(self) -> Path:
        """The agent's verbs: apply, remove, observe, wake."""
        return self.run / "agent.sock"

    @property
    def registry_socket(self) -> Path:
        """The embedded MLflow server."""
        return self.run / "registry.sock"

    @property
    def exits(self) -> Path:
        """Exit statuses of orphans that the supervisor reaped: the file `<pid>` holds the wait status."""
        return self.run / "exits"

    def route_table(self, gateway: int) -> Path:
        """A gateway's copy of the last route table that it followed."""
        return self.run / f"routes-{gateway}.json"

    def ledger(self, gateway: int) -> Path:
        """A gateway's counters. Not below `run`, which may be lost at a reboot."""
        return self.ledgers / f"{gateway}.bin"

    def build_log(self, revision: str) -> Path:
        """The log of a revision's preparation."""
        return self.build_logs / f"{revision}.log"

    def replica_log(self, revision: str) -> Path:
        """What a revision's replicas print."""
        return self.logs / "replicas" / f"{revision}.log"

    def refutations(self, revision: str) -> Path:
        """What a revision's replicas have found to be wrong about batching, for the others to read."""
        return self.targets / f"{revision}.refuted"

    def import_record(self, environment: str) -> Path:
        """What the models of an environment import."""
        return self.imports / f"{environment}.json"

    def template_log(self, environment: str) -> Path:
        """What an environment's templates print."""
        return self.logs / "templates" / f"{environment}.log"
